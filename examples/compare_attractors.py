"""
Does a model live on the attractor?
===================================

A forecast of a chaotic system is lost after a few Lyapunov times. Whether a model has
learned the system shows in its free run: does it fill the same attractor, in the same
rhythm, and does it forget as fast? Three runs are compared with the Lorenz system: the
system itself from another start, the system with a parameter that is slightly wrong,
and a linear model. Half a minute.
"""

# %%
# Runs
# ----
# One true orbit to compare with, and three candidates of the same length. The linear
# model is dynamic mode decomposition behind a delay embedding: good for a few dozen
# steps, but a linear system has no strange attractor.

import matplotlib.pyplot as plt

from skdyn.datasets import make_lorenz63
from skdyn.koopman import DMD
from skdyn.metrics import (
    autocorrelation_distance,
    correlation_dimension,
    d_hellinger,
    d_hellinger_floor,
    d_stsp,
    d_stsp_floor,
    largest_lyapunov_exponent,
    mmd,
    mmd_floor,
    sliced_wasserstein,
)
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding

n, dt = 10_000, 0.02
truth = make_lorenz63(n, dt=dt, random_state=0)
linear = make_pipeline(DelayEmbedding(8), DMD()).fit(truth[:2000])
runs = {
    "true system": make_lorenz63(n, dt=dt, random_state=1),
    "rho = 32": make_lorenz63(n, dt=dt, rho=32.0, random_state=2),
    "linear model": linear.forecast(n),
}

# %%
# Distances
# ---------
# A distance means little without its floor: what one half of the truth is away from the
# other. The floor of runs of 10,000 rows would need 20,000 true rows; halves of 5,000
# are a little further apart, which is on the safe side.

distances = {
    "d_stsp": d_stsp,
    "d_hellinger": d_hellinger,
    "mmd": mmd,
    "sliced W1": sliced_wasserstein,
    "autocorr.": lambda x, y: autocorrelation_distance(x, y, max_lag=100),
}
print(f"{'':14}" + "".join(f"{name:>12}" for name in distances))
for label, run in runs.items():
    values = [distance(truth, run) for distance in distances.values()]
    print(f"{label:14}" + "".join(f"{value:12.3f}" for value in values))
floors = [d_stsp_floor(truth), d_hellinger_floor(truth), mmd_floor(truth)]
print(f"{'floor':14}" + "".join(f"{value:12.3f}" for value in floors))

# %%
# Invariants
# ----------
# Two numbers that need no truth to compare with. A run that ends at a fixed point has
# no dimension to speak of, so the linear model is left out.

for label, run in {"truth": truth, **runs}.items():
    if label == "linear model":
        continue
    dimension = correlation_dimension(run, n_reference=2000)
    exponent = largest_lyapunov_exponent(run, dt=dt)
    print(label, dimension, exponent, sep=", ")

# %%
# The curves behind the two numbers of the truth are worth a look: a slope is only as
# good as the straight piece that it was read off.

dimension = correlation_dimension(truth, n_reference=2000)
exponent = largest_lyapunov_exponent(truth, dt=dt)
fig, axes = plt.subplots(2, 3, figsize=(9, 5.5), layout="constrained")
shown = {"truth": truth, **runs}
for ax, (label, run) in zip(axes.flat[:4], shown.items(), strict=True):
    ax.plot(run[:4000, 0], run[:4000, 2], lw=0.3)
    ax.set(title=label, xlabel="x", ylabel="z", xlim=(-25, 25), ylim=(0, 55))
ax = axes.flat[4]
ax.loglog(dimension.radii, dimension.correlation_sums)
ax.axvspan(*dimension.fit_range, alpha=0.2)
ax.set(title=f"dimension {dimension.dimension:.2f}", xlabel="r", ylabel="C(r)")
ax = axes.flat[5]
ax.plot(exponent.times, exponent.divergence)
ax.axvspan(*exponent.fit_range, alpha=0.2)
ax.set(title=f"exponent {exponent.exponent:.2f}", xlabel="time", ylabel="log distance")
plt.show()
