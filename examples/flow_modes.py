"""
Modes of a flow, and a forced oscillator
========================================

Two uses of dynamic mode decomposition: the travelling vortices of a wake, seen by 2,000
sensors, and an oscillator that is driven by a known force.
"""

# %%
# A street of vortices behind a cylinder, made by a formula: a wave and its harmonic
# that travel downstream, and noise.

import matplotlib.pyplot as plt
import numpy as np

from skdyn.koopman import DMD, DMDc

dt, frequency, speed = 0.1, 0.2, 1.0
x, y = np.meshgrid(np.linspace(0, 10, 80), np.linspace(-2, 2, 25))
t = dt * np.arange(150)[:, None, None]
phase = 2 * np.pi * frequency * (t - x / speed)
envelope = (1 - np.exp(-x)) * np.exp(-((y) ** 2))
field = envelope * (np.cos(phase) + 0.3 * y * np.cos(2 * phase))
X = field.reshape(150, -1)
X = X + 0.1 * np.random.default_rng(0).standard_normal(X.shape)

dmd = DMD(rank=4, dt=dt, total_least_squares=True).fit(X[:100])
spectrum = dmd.spectrum_
for j in range(0, 4, 2):
    print(
        f"frequency {spectrum.frequencies[j]:+.3f}, growth rate "
        f"{spectrum.growth_rates[j]:+.4f}, residual {spectrum.residuals[j]:.2f}"
    )
error = np.abs(dmd.predict(50) - field.reshape(150, -1)[100:]).mean()
print(f"forecast of 50 rows: mean error {error:.3f} (noise 0.1)")

# %%
# Each frequency has a mode: its real part is a snapshot of what turns at that rate.

fig, axes = plt.subplots(3, 1, figsize=(7, 6), layout="constrained", sharex=True)
pictures = [X[0], spectrum.modes[0].real, spectrum.modes[2].real]
titles = [
    "a noisy snapshot",
    *(f"f = {abs(spectrum.frequencies[j]):.2f}" for j in (0, 2)),
]
for ax, picture, title in zip(axes, pictures, titles, strict=True):
    size = np.abs(picture).max()
    ax.pcolormesh(x, y, picture.reshape(x.shape), cmap="RdBu", vmin=-size, vmax=size)
    ax.set(title=title, ylabel="y")
axes[-1].set(xlabel="x")
plt.show()

# %%
# A mass on a spring, driven by a random force: `DMDc` takes the force as input. From
# training under one force it forecasts what another does.

mass, stiffness, damping = 0.5, 0.7, 0.6
rng = np.random.default_rng(1)
force = rng.standard_normal((400, 1))
state = np.zeros((400, 2))
for k in range(399):
    position, velocity = state[k]
    for _ in range(100):
        pull = (force[k, 0] - stiffness * position - damping * velocity) / mass
        velocity += 0.001 * pull
        position += 0.001 * velocity
    state[k + 1] = position, velocity
model = DMDc(dt=0.1).fit(state[:200], u=force[:200])
ahead = model.predict(199, u=force[199:398])
print(f"largest error under a new force: {np.abs(ahead - state[200:399]).max():.1e}")
rates = model.spectrum_.growth_rates + 2j * np.pi * model.spectrum_.frequencies
print(f"rates {rates.round(3)}, truth {np.roots([mass, damping, stiffness]).round(3)}")
