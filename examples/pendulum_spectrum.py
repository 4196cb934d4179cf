"""
The spectrum of a pendulum, without pollution
=============================================

A pendulum has a continuous spectrum on the unit circle. Extended DMD with a finite
dictionary finds eigenvalues inside it as well: pollution. Residuals remove it, and the
pseudospectrum shows where spectrum really is.
"""

# %%
# Many short pieces of trajectories: pairs of rows half a unit of time apart.

import matplotlib.pyplot as plt
import numpy as np

from skdyn.koopman import EDMD, MPEDMD, pseudospectrum
from skdyn.preprocessing import FunctionLift

rng = np.random.default_rng(0)
angle, velocity = rng.uniform(-np.pi, np.pi, 4000), rng.uniform(-3, 3, 4000)
starts = np.column_stack([angle, velocity])


def advance(rows, time=0.5, n_steps=50):
    """Move pendulums on by the leapfrog method."""
    angle, velocity = rows.T
    h = time / n_steps
    for _ in range(n_steps):
        velocity = velocity - h / 2 * np.sin(angle)
        angle = angle + h * velocity
        velocity = velocity - h / 2 * np.sin(angle)
    return np.column_stack([angle, velocity])


pairs = np.stack([starts, advance(starts)], axis=1)

# %%
# The dictionary: waves of the angle times Hermite functions of the velocity. The angle
# itself, which jumps after a turn, is no function on the circle and stays out.


def hermite(rows):
    """Hermite functions of the velocity, the lowest ten."""
    v = rows[:, 1]
    columns = [np.exp(-(v**2) / 2), np.sqrt(2) * v * np.exp(-(v**2) / 2)]
    for j in range(2, 10):
        last, before = columns[-1], columns[-2]
        columns.append(np.sqrt(2 / j) * v * last - np.sqrt((j - 1) / j) * before)
    return np.column_stack(columns)


def waves(rows):
    """One, and cosines and sines of the angle."""
    k = np.arange(5) * rows[:, :1]
    return np.hstack([np.cos(k), np.sin(k[:, 1:])])


def products(rows):
    """All products of a wave with a Hermite function."""
    return (waves(rows)[:, :, None] * hermite(rows)[:, None]).reshape(len(rows), -1)


lift = FunctionLift([products], include_state=False)
edmd = EDMD(lift, dt=0.5).fit(pairs)
spectrum = edmd.spectrum_
kept = spectrum.trusted(0.15)
print(f"{len(spectrum.eigenvalues)} eigenvalues, {len(kept.eigenvalues)} kept")
print(
    f"least modulus found {np.abs(spectrum.eigenvalues).min():.2f}, "
    f"kept {np.abs(kept.eigenvalues).min():.2f}"
)

# %%
# The measure-preserving variant puts all of its eigenvalues on the circle. The shading
# is the pseudospectrum: small where there is spectrum.

unitary = MPEDMD(lift, dt=0.5).fit(pairs).spectrum_
axis = np.linspace(-1.4, 1.4, 29)
grid = axis + 1j * axis[:, None]
tau = pseudospectrum(edmd, grid).residuals

fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
levels = np.linspace(0, 0.6, 13)
image = ax.contourf(axis, axis, tau, levels, cmap="Blues_r", extend="max")
fig.colorbar(image, label="least residual")
found = spectrum.eigenvalues
ax.plot(found.real, found.imag, ".", c="0.3", label="EDMD")
ax.plot(
    kept.eigenvalues.real,
    kept.eigenvalues.imag,
    "o",
    c="tab:orange",
    mfc="none",
    label="trusted",
)
ax.plot(unitary.eigenvalues.real, unitary.eigenvalues.imag, "k+", ms=4, label="MPEDMD")
ax.set(aspect="equal", xlabel="Re", ylabel="Im", title="pendulum")
ax.legend(loc="upper right")
plt.show()
