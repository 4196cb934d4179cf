"""
Which eigenvalues to believe
============================

Two waves, one undamped and one slowly decaying, are seen by forty noisy sensors. Plain
DMD damps what is not damped; total least squares and forward-backward DMD do not, and
residuals tell true eigenvalues from spurious ones.
"""

# %%
# The true eigenvalues lie on a circle of radius 1 and of radius 0.995.

import matplotlib.pyplot as plt
import numpy as np

from skdyn.koopman import DMD

rng = np.random.default_rng(0)
k = np.arange(600)[:, None]
waves = np.hstack(
    [
        np.cos(0.2 * k),
        np.sin(0.2 * k),
        0.995**k * np.cos(0.55 * k),
        0.995**k * np.sin(0.55 * k),
    ]
)
sensors = np.linalg.qr(rng.standard_normal((40, 4)))[0].T
X = waves @ sensors + 0.08 * rng.standard_normal((600, 40))
truth = np.array([np.exp(0.2j), 0.995 * np.exp(0.55j)])

# %%
# Four models of the same rank, their leading eigenvalues and how far off these are.

models = {
    "plain": DMD(rank=4),
    "total least squares": DMD(rank=4, total_least_squares=True),
    "forward-backward": DMD(rank=4, forward_backward=True),
    "rank='auto'": DMD(rank="auto", total_least_squares=True),
}
fig, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
angle = np.linspace(0.1, 0.65, 100)
ax.plot(np.cos(angle), np.sin(angle), "k", lw=0.6)
ax.plot(truth.real, truth.imag, "k+", ms=14, label="truth")
for (name, model), marker in zip(models.items(), "os^v", strict=True):
    spectrum = model.fit(X).spectrum_
    above = spectrum.eigenvalues.imag > 0
    found = spectrum.eigenvalues[above]
    error = [np.abs(found - value).min() for value in truth]
    print(
        f"{name:20} rank {model.rank_}, errors {error[0]:.4f} {error[1]:.4f}, "
        f"residuals {spectrum.residuals[above].round(3)}"
    )
    ax.plot(found.real, found.imag, marker, mfc="none", label=name)
ax.set(xlabel="Re", ylabel="Im", aspect="equal", title="eigenvalues")
fig.legend(loc="outside right upper")
plt.show()

# %%
# Keeping every singular value fits the noise as well: the spurious eigenvalues give
# themselves away by residuals near 1.

spectrum = DMD().fit(X).spectrum_
spurious = np.abs(spectrum.eigenvalues) < 0.9
print(f"true: residuals up to {spectrum.residuals[~spurious].max():.2f}")
print(f"spurious: residuals from {spectrum.residuals[spurious].min():.2f}")
