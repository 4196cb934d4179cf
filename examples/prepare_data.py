"""
Holes, trends and seasons
=========================

A recording as they come: monthly, with a trend, a season, a slow oscillation and
noise, and with values missing. It is cut at its holes, and what does not belong to the
dynamics is taken off before the model and put back after the forecast. Then two cases
in which that does harm.
"""

# %%
# Thirty years of months. `cut_gaps` makes clean trajectories of what is there, and
# tells what it dropped.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import cross_val_score

from skdyn.baselines import ContextParroting
from skdyn.datasets import load_sunspots, make_lorenz63
from skdyn.koopman import DMD
from skdyn.model_selection import RollingOriginSplit, forecast_scorer
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import (
    DelayEmbedding,
    Deseasonalise,
    Detrend,
    Difference,
    cut_gaps,
)

rng = np.random.default_rng(0)
k = np.arange(420)[:, None]
profile = np.array([0, 1, 0, -1, 0, 1, 0, -6, -2, 0, 1, 9.0])
clean = 300 + 0.15 * k + profile[k % 12] + 6 * np.cos(2 * np.pi * k / 43)
X = clean + 0.7 * rng.standard_normal(k.shape)
past, truth = X[:360].copy(), clean[360:]
past[100:109] = np.nan
past[200] = np.nan

pieces = cut_gaps(past, t=np.arange(360) / 12, min_rows=80)
print(pieces)

# %%
# The same small model behind different preparations: four modes are room for a trend,
# or for two waves, not for a year with a sharp peak. The list is as good as one
# trajectory: no step joins what a hole has parted, and the last piece is continued.

model = (DelayEmbedding(24), DMD(rank=4, total_least_squares=True))
preparations = {
    "nothing": (),
    "Difference()": (Difference(),),
    "Deseasonalise(12)": (Deseasonalise(12),),
    "Detrend(window=48), Deseasonalise(12)": (Detrend(window=48), Deseasonalise(12)),
}
fig, ax = plt.subplots(figsize=(9, 4), layout="constrained")
years = np.arange(420) / 12
ax.plot(years[:360], past, color="0.6", lw=0.8, label="recording")
ax.plot(years[360:], truth, color="k", lw=2, label="truth, without noise")
for (name, steps), style in zip(preparations.items(), [":", "-.", "--", "-"]):
    forecast = make_pipeline(*steps, *model).fit(pieces.trajectories).predict(60)[-1]
    error = np.sqrt(np.mean((forecast - truth) ** 2))
    print(f"{name:40} error {error:5.2f}")
    ax.plot(years[360:], forecast, style, label=f"{name}: {error:.2f}")
ax.set(xlabel="year", xlim=(15, 35), ylim=(315, 385))
fig.legend(loc="outside lower center", ncols=2)
plt.show()

# %%
# What preparation buys is a small model. With as many modes as it likes, and data as
# clean as these, DMD finds trend and season by itself.

large = (DelayEmbedding(24), DMD(rank="auto", total_least_squares=True))
forecast = make_pipeline(*large).fit(pieces.trajectories).predict(60)[-1]
print(f"rank='auto': error {np.sqrt(np.mean((forecast - truth) ** 2)):.2f}")

# %%
# **Where it does harm.** The x of the Lorenz system has no trend, however long it stays
# on one wing: that is its state. `ContextParroting` looks for the same state in the
# past, and finds it less often once a part of it is filtered away, or drowned in the
# noise that differences amplify. With a drift on top it is the other way round. (A
# score of 1 is perfect.)


def score(steps, X, horizon, context, test_rows):
    """How well `steps` forecast `horizon` rows, from origins in the last rows of X."""
    return cross_val_score(
        make_pipeline(*steps),
        X,
        cv=RollingOriginSplit(2, horizon=test_rows, context=context),
        scoring=forecast_scorer("cme", horizon, context=context, n_origins=30),
        error_score="raise",
    ).mean()


x = make_lorenz63(4000, dt=0.02)[:, :1]
drift = 0.01 * np.arange(4000)[:, None]
noise = rng.standard_normal(x.shape)
for name, data in {"x": x, "x + noise": x + noise, "x + drift": x + drift}.items():
    results = {
        "nothing": score((ContextParroting(),), data, 50, 150, 600),
        "Difference": score((Difference(), ContextParroting()), data, 50, 150, 600),
        "Detrend": score((Detrend(window=100), ContextParroting()), data, 50, 150, 600),
    }
    print(f"{name:10}", {key: round(float(value), 2) for key, value in results.items()})

# %%
# And the eleven years of the sunspots are no season: the cycle comes early or late, so
# that the last ones do not foretell the next.

sunspots = load_sunspots().data
embedded = (DelayEmbedding(24), DMD(rank=10))
for name, steps in {
    "nothing": embedded,
    "Deseasonalise": (Deseasonalise(11), *embedded),
}.items():
    print(f"sunspots, {name:14} {score(steps, sunspots, 10, 90, 60):.2f}")
