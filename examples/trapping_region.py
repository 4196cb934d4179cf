"""
A model that cannot blow up
===========================

Nonlinear terms of incompressible flow move energy between modes and make none. A model
that is fitted without that knowledge may have nonlinear terms that do, if ever so
little, and then blow up from starts that are far from the data. Put in as a constraint,
it gives models that come with a certificate: a ball that every trajectory enters, and
none leaves.
"""

# %%
# The wake of a cylinder in three modes: two that oscillate, and the shift of the mean
# flow that feeds on them and limits them. One noisy run from near the steady wake.

import warnings

import matplotlib.pyplot as plt
import numpy as np

from skdyn.datasets import Flow, make_trajectories
from skdyn.sindy import STLSQ, Constraints, SINDy, trapping_region

mu = 0.1


def velocity(t, x):
    """The truth: its quadratic terms do no work, x.Q(x, x) = 0."""
    a, b, c = x.T
    return np.stack([mu * a - b - a * c, mu * b + a - b * c, -c + a**2 + b**2], axis=1)


wake = Flow(velocity=velocity, n_features=3, name="Wake", feature_names=("a", "b", "c"))
clean = make_trajectories(wake, 1200, dt=0.05, starts=[[0.05, 0.0, 0.0]])
clean = clean.reshape(-1, 3)
rng = np.random.default_rng(0)
noisy = clean + 0.03 * clean.std(axis=0) * rng.standard_normal(clean.shape)

# %%
# The same solver twice, with all quadratic terms that it wants, and with those alone
# that preserve energy.

solver = STLSQ(0.02)
free = SINDy(solver=solver, dt=0.05).fit(noisy)
known = Constraints(energy_preserving=True)
model = SINDy(solver=solver, constraints=known, dt=0.05).fit(noisy)
print(free.equations_.text(3))
print(model.equations_.text(3))

# %%
# Only one of them has a certificate: about the centre, energy decays everywhere outside
# of the ball. The best centre and radius for the truth are known in closed form.

for each in (free, model):
    region = trapping_region(each)
    print(f"work of quadratic terms {region.energy_violation:.1e}", end=", ")
    print(f"bounded: {region.is_bounded}, radius {region.radius:.3f}")
height = 2 * mu * (1 + mu) / (1 + 2 * mu)
exact = height / (2 * np.sqrt((height - mu) * (1 + mu - height)))
print(f"truth: radius {exact:.3f} about (0, 0, {height:.3f})")
print(f"found: about {region.center.round(3) + 0.0}")

# %%
# From twelve starts some hundred times further out than the data, all trajectories of
# the model with the certificate come in.

angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
starts = 30 * np.column_stack([np.cos(angle), np.sin(angle), np.sin(3 * angle)])
with warnings.catch_warnings():
    # Those that blow up are what is looked for.
    warnings.simplefilter("ignore")
    runs = [
        each.forecast(400, context=starts[:, None]).transpose(1, 0, 2)
        for each in (free, model)
    ]
t = 0.05 * np.arange(1, 401)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
for ax, run, title in zip(axes, runs, ("free", "energy preserved"), strict=True):
    distance = np.linalg.norm(run - region.center, axis=2)
    n_lost = np.isnan(distance[-1]).sum()
    ax.semilogy(t, distance, "C0", lw=1)
    ax.axhline(region.radius, color="k", ls="--", label="trapping region")
    ax.set(
        xlabel="time",
        xlim=(0, 20),
        ylim=(1e-1, 1e4),
        title=f"{title}: {n_lost} of 12 blow up",
    )
axes[0].set(ylabel="distance from the centre")
axes[1].legend()
plt.show()
