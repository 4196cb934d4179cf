"""
Quickstart: forecast the sunspots, tuned by GridSearchCV
========================================================

Two series, seven models. The yearly sunspot numbers and the Lorenz-63 system are each
forecast by five baselines, by dynamic mode decomposition (DMD) and by DMD behind a
delay embedding, tuned by a stock ``GridSearchCV`` over rolling origins. A leaderboard
over the untouched end of each series is printed and a figure saved. Half a minute on
two cores.
"""

# %%
# Data
# ----
# A trajectory is an array of shape (n_samples, n_features), rows in time order. The end
# of each series is put aside: no search sees it.

import time
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from skdyn.baselines import (
    ContextParroting,
    LinearAutoregression,
    Mean,
    Persistence,
    SeasonalNaive,
)
from skdyn.datasets import load_sunspots, make_lorenz63
from skdyn.koopman import DMD
from skdyn.model_selection import RollingOriginSplit, forecast_scorer
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding

sunspots = load_sunspots()
# name: (data, time of each row, unit of time, rows put aside, horizon)
series = {
    "sunspots": (sunspots.data, sunspots.year, "years", 99, 11),
    "Lorenz-63": (
        make_lorenz63(3000, dt=0.02),
        0.02 * 0.9056 * np.arange(3000),
        "Lyapunov times",
        600,
        50,
    ),
}

# %%
# Models and their grids
# ----------------------
# Every forecast starts from `CONTEXT` rows, of which a model takes what it needs.
# ``skdyn.pipeline.make_pipeline`` sends forecasts back through any scikit-learn
# transformer with an inverse, so all models answer in sunspots, or in Lorenz's units.
# The baselines are what any other model has to beat: the mean, no change, the last
# season, a linear autoregression, and a copy of what followed the most similar moment.

CONTEXT = 48
models = {
    "mean": (Mean(), {}),
    "persistence": (Persistence(), {}),
    "seasonal naive": (SeasonalNaive(max_period=CONTEXT), {}),
    "autoregression": (LinearAutoregression(), {"n_lags": [2, 4, 8, 16, 32]}),
    "parroting": (
        make_pipeline(StandardScaler(), ContextParroting()),
        {
            "contextparroting__window": [2, 4, 8, 16],
            "contextparroting__n_neighbors": [1, 3],
        },
    ),
    "DMD": (make_pipeline(StandardScaler(), DMD()), {"dmd__rank": [1, None]}),
    "delays + DMD": (
        make_pipeline(StandardScaler(), DelayEmbedding(), DMD()),
        {
            "delayembedding__n_delays": [4, 8, 16, 24, 32],
            "dmd__rank": [0.99, 0.999, None],
        },
    ),
}

# %%
# Tune and compare
# ----------------
# Every candidate is asked the same in each of six folds: forecast `horizon` rows from
# several origins, given `CONTEXT` rows before. The score "cme", one minus the mean
# running maximum of the normalised error, is 1 for a perfect forecast and 0 for a
# worthless one.

searches = {}
print(f"{'series':10} {'model':14} {'cme':>6} {'NRMSE':>6} {'valid for':>20}   tuned")
for (name, row), (label, (model, grid)) in product(series.items(), models.items()):
    X, clock, unit, n_test, horizon = row
    train, test = X[:-n_test], X[-n_test - CONTEXT :]
    began = time.perf_counter()
    search = GridSearchCV(
        model,
        grid,
        cv=RollingOriginSplit(n_splits=6, horizon=2 * horizon, context=CONTEXT),
        scoring=forecast_scorer("cme", horizon, context=CONTEXT, stride=1),
        n_jobs=2,
    ).fit(train)
    seconds = time.perf_counter() - began
    searches[name, label] = search
    cme, error, valid = (
        forecast_scorer(metric, horizon, context=CONTEXT, stride=1)(search, test)
        for metric in ("cme", "nrmse", "vpt")
    )
    valid = f"{valid * (clock[1] - clock[0]):.2f} {unit}"
    best = " ".join(f"{k.split('__')[-1]}={v}" for k, v in search.best_params_.items())
    print(
        f"{name:10} {label:14} {cme:6.3f} {-error:6.3f} {valid:>20}   "
        f"{best} ({6 * len(search.cv_results_['params'])} fits, {seconds:.1f} s)",
        flush=True,
    )

# %%
# See
# ---
# Two horizons from the end of the training rows, which ``search.predict(22)``
# continues; ``search.predict(Horizon(22, context=rows))`` would continue other rows.

fig, axes = plt.subplots(2, 1, figsize=(9, 6), layout="constrained")
colors = {
    "persistence": "tab:gray",
    "autoregression": "tab:green",
    "parroting": "tab:orange",
    "delays + DMD": "tab:blue",
}
for ax, (name, row) in zip(axes, series.items(), strict=True):
    X, clock, unit, n_test, horizon = row
    start, n = len(X) - n_test, 2 * horizon
    shown = slice(start - 4 * n, start + n)
    ax.plot(clock[shown], X[shown, 0], "k", lw=1.2, label="truth")
    ax.axvline(clock[start - 1], color="k", lw=0.8, ls=":")
    for label, color in colors.items():
        rows = searches[name, label].predict(n)
        ax.plot(clock[start : start + n], rows[:, 0], color=color, label=label)
    low, high = X[shown, 0].min(), X[shown, 0].max()
    margin = 0.2 * (high - low)
    ax.set_ylim(low - margin, high + margin)
    ax.set(title=f"{name}, {n} rows ahead", xlabel=unit)
axes[0].legend(loc="upper left", ncols=5, fontsize="small")
fig.savefig("quickstart.png", dpi=110)
print("\nfigure saved to quickstart.png")
