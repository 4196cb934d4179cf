"""
The law of an enzyme, with its denominator
==========================================

An enzyme that is saturated works at a rate with a denominator, which no polynomial
equals. Sparse regression of the implicit relation finds numerator and denominator
together from noisy runs, and the equation found can be simulated.
"""

# %%
# Substrate flows in at rate j and is used up by Michaelis and Menten's law,
# x' = j - V x / (K + x). Four runs from different starts, with noise of 1%.

import matplotlib.pyplot as plt
import numpy as np

from skdyn.datasets import Flow, make_trajectories
from skdyn.preprocessing import PolynomialLift
from skdyn.sindy import STLSQ, ImplicitSINDy, SINDy

inflow, fastest, half = 0.6, 1.5, 0.3


def rate(x):
    """The truth."""
    return inflow - fastest * x / (half + x)


enzyme = Flow(velocity=lambda t, x: rate(x), n_features=1, name="Enzyme")
starts = np.array([[0.05], [0.5], [1.5], [3.0]])
clean = make_trajectories(enzyme, 401, dt=0.01, starts=starts)
rng = np.random.default_rng(0)
noisy = clean + 0.01 * clean.std(axis=1, keepdims=True) * rng.standard_normal(
    clean.shape
)

# %%
# One fraction of few terms. Its constants are those of the law: the rate at x = 0 is
# the inflow, and where x is large it is the inflow less the fastest rate.

model = ImplicitSINDy(PolynomialLift(3), dt=0.01).fit(noisy)
print(model.equations_)
above, below = model.coef_[0], model.denominator_[0]
print(f"inflow {above[0]:.3f} (truth {inflow})")
print(f"fastest {above[0] - above[1] / below[1]:.3f} (truth {fastest})")
print(f"half saturation {1 / below[1]:.3f} (truth {half})")

# %%
# What was compared: the best relation with each left side, its error relative to the
# rate, and the criterion. The same relation is found from two left sides; more terms
# buy next to nothing.

print(model.candidates_[0])

# %%
# A polynomial fits where there were data, and only there. Both are simulated from a
# start twice as large as any in the runs.

polynomial = SINDy(PolynomialLift(3), STLSQ(0.01), dt=0.01).fit(noisy)
print(polynomial.equations_)
truth = make_trajectories(enzyme, 801, dt=0.01, starts=[[6.0]])[0]
ahead = [each.forecast(800, context=truth[:1]) for each in (model, polynomial)]

x = np.linspace(0, 6, 200)[:, None]
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
left.plot(x, rate(x), "k", lw=3, alpha=0.3, label="truth")
left.plot(x, model.equations_(x), label="fraction")
left.plot(x, polynomial.equations_(x), "--", label="cubic")
left.axvspan(clean.min(), clean.max(), color="0.93", zorder=0)
left.set(xlabel="x", ylabel="x'", ylim=(-2, 1), title="rate; data in the grey part")
left.legend()
t = 0.01 * np.arange(1, 801)
right.plot(t, truth[1:], "k", lw=3, alpha=0.3)
for rows, style in zip(ahead, ("-", "--"), strict=True):
    right.plot(t, rows, style)
right.set(xlabel="time", ylabel="x", ylim=(0, 8), title="forecast from x = 6")
plt.show()
