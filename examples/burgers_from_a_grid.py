"""
Burgers' equation from a grid
=============================

A field on 128 points of a circle is recorded 100 times, with 5% of noise. `PDESINDy`
finds the partial differential equation behind it and continues the field.
"""

# %%
# The record: a periodic solution of u_t = -u u_x + 0.1 u_xx. Cole and Hopf turned the
# equation into that of heat, h_t = 0.1 h_xx, by u = -0.2 h_x / h, so a sum of decaying
# waves gives an exact solution.

import matplotlib.pyplot as plt
import numpy as np

from skdyn.sindy import PDESINDy

length, n_points, dt, viscosity = 2 * np.pi, 128, 0.05, 0.1
x = length / n_points * np.arange(n_points)


def field(t):
    """The solution at some times, one row for each."""
    k, size = np.array([1, 2])[:, None, None], np.array([0.9, 0.35])[:, None, None]
    wave = size * np.exp(-viscosity * k**2 * t[:, None] + 1j * k * (x + 0.7 * (k - 1)))
    heat = 1.5 + wave.real.sum(axis=0)
    slope = (1j * k * wave).real.sum(axis=0)
    return -2 * viscosity * slope / heat


t = dt * np.arange(200)
truth = field(t)
rng = np.random.default_rng(0)
X = truth[:100] + 0.05 * truth.std() * rng.standard_normal((100, n_points))

# %%
# In the weak form, all derivatives are on test functions, none on the noisy data. The
# library has nine terms: u and its square, and their derivatives up to third order.

model = PDESINDy(n_points, spacing=length / n_points, dt=dt).fit(X)
print("candidates:", ", ".join(model.terms_))
print(model.equations_)
print(f"noise: {model.noise_[0, 0]:.4f} found, {0.05 * truth.std():.4f} added")

# %%
# The strong form takes derivatives of smoothed data, and has more to lose.

strong = PDESINDy(n_points, spacing=length / n_points, dt=dt, form="strong").fit(X)
print("strong form:", strong.equations_)

# %%
# The equation continues the field from any row: here from the last noisy one, which
# diffusion makes smooth.

ahead = model.predict(100)
error = np.sqrt(np.mean((ahead - truth[100:]) ** 2, axis=1)) / truth[100:].std()
print(f"error of the forecast: {error[9]:.1%} after 10 rows, {error[-1]:.1%} after 100")

fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharey=True)
limit = np.abs(truth).max()
panels = {
    "truth": truth,
    "noisy record, forecast": np.vstack([X, ahead]),
    "difference x 10": 10 * np.vstack([X - truth[:100], ahead - truth[100:]]),
}
for ax, (title, values) in zip(axes, panels.items(), strict=True):
    image = ax.pcolormesh(x, t, values, vmin=-limit, vmax=limit, cmap="RdBu_r")
    ax.axhline(t[100], color="k", lw=1)
    ax.set(title=title, xlabel="x")
axes[0].set_ylabel("time")
fig.colorbar(image, label="u")
plt.show()
