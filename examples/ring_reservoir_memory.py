"""
How much a reservoir remembers
==============================

A reservoir is driven by a signal and holds traces of its past. Memory capacity counts
them: how well linear readouts of the present state give back what came in k rows
before, summed over k. A plain ring of equal weights, with nothing random but its input,
remembers longest. Memory is not all that a task needs, though.
"""

# %%
# Fifty units in a ring, each hearing only the one before it, beside fifty that hear ten
# others at random. Of linear units it is at most their number.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from skdyn.reservoir import (
    ReservoirFeatures,
    conditional_lyapunov_exponent,
    memory_capacity,
)

topologies = ("ring", "random")
linear = {}
for topology in topologies:
    reservoir = ReservoirFeatures(50, topology=topology, spectral_radius=0.9)
    linear[topology] = memory_capacity(reservoir, linear=True)
    print(f"{topology:8} {linear[topology].total:.1f} rows, of 50 units")

# %%
# Units that saturate forget more, the more so the harder they are driven.

scalings = np.array([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0])
totals = {
    topology: [
        memory_capacity(
            ReservoirFeatures(
                50, topology=topology, input_scaling=scaling, bias_scaling=0.0
            )
        ).total
        for scaling in scalings
    ]
    for topology in topologies
}

# %%
# The NARMA-10 task asks for memory and a product at once: what comes out depends on
# the input of now times that of nine rows before. So there is a best strength of the
# drive, weak but with biases, about which tanh is curved.


def narma(n, seed):
    """Inputs u[t], and y[t + 1]."""
    u = np.random.default_rng(seed).uniform(0, 0.5, n + 50)
    y = np.zeros(n + 51)
    for t in range(9, n + 50):
        past = y[t - 9 : t + 1].sum()
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * past + 1.5 * u[t - 9] * u[t] + 0.1
    return u[50:, None], y[51:]


(u, y), (v, z) = narma(3000, 10), narma(2000, 100)
errors = {}
for topology, radius in zip(topologies, (0.8, 0.95), strict=True):
    errors[topology] = []
    for scaling in scalings:
        features = ReservoirFeatures(
            100,
            topology=topology,
            spectral_radius=radius,
            input_scaling=scaling,
            washout=100,
        )
        model = make_pipeline(features, Ridge(1e-8, solver="svd")).fit(u, y[100:])
        wrong = model.predict(v) - z[100:]
        errors[topology].append(np.sqrt(np.mean(wrong**2)) / z.std())
    best = int(np.argmin(errors[topology]))
    print(f"{topology:8} NRMSE {errors[topology][best]:.3f} at {scalings[best]}")

# %%
# The price of too large a radius: from where neighbouring states part instead of
# meeting, what the network shows depends on how it was started. A strong drive moves
# that point beyond 1.

radii = np.linspace(0.6, 3.0, 13)
exponents = {
    scaling: [
        conditional_lyapunov_exponent(
            ReservoirFeatures(
                100, spectral_radius=radius, input_scaling=scaling, bias_scaling=0.0
            ).fit(u),
            u[:1000],
        )
        for radius in radii
    ]
    for scaling in (0.01, 1.0)
}

fig, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
for topology in topologies:
    axes[0, 0].plot(linear[topology].delays, linear[topology].by_delay, label=topology)
    axes[0, 1].semilogx(scalings, totals[topology], "o-", label=topology)
    axes[1, 0].semilogx(scalings, errors[topology], "o-", label=topology)
for scaling, values in exponents.items():
    axes[1, 1].plot(radii, values, "o-", label=f"input_scaling={scaling}")
axes[1, 1].axhline(0, color="k", lw=0.8)
axes[0, 0].set(xlabel="delay (rows)", ylabel="squared correlation", title="linear")
axes[0, 1].set(xlabel="input_scaling", ylabel="memory capacity", title="tanh")
axes[1, 0].set(xlabel="input_scaling", ylabel="NRMSE", title="NARMA-10, 100 units")
axes[1, 1].set(
    xlabel="spectral radius", ylabel="exponent per row", title="driven, random"
)
for ax in axes.flat:
    ax.legend()
plt.show()
