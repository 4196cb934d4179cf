"""
A heartbeat that goes on by itself
==================================

An electrocardiogram, delay-embedded in five dimensions, and a piecewise-linear
recurrent network that is to beat on by itself: not to forecast the next minute beat by
beat, which nothing can, but to have the shape of the beats and their rhythm.

The recording is that of Hess et al. (2023), which is not part of skdyn. Where it is
not found (the environment variable ``SKDYN_REFERENCE_DATA`` names its folder), Lorenz's
system stands in for it.
"""

# %%
# What is there.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skdyn.datasets import make_lorenz63
from skdyn.metrics import d_hellinger, d_stsp
from skdyn.neural import PLRNN

given = os.environ.get("SKDYN_REFERENCE_DATA", "../shared/data")
recording = Path(given) / "ECG_pecuzal_5d_train.npy"
if recording.exists():
    X = np.load(recording).astype(float)
    about = "ECG in five delays"
else:
    X = make_lorenz63(40_000, dt=0.02)
    about = "Lorenz's system, in place of the ECG"
train, unseen = X[: len(X) // 2], X[len(X) // 2 :]
print(f"{about}: {len(train)} rows to learn from")

# %%
# Fifty hinges for each of the features, and fewer epochs than the default, for a
# gallery. The checkpoint is chosen by its free run against the training rows alone.

model = PLRNN(n_hinges=50 * train.shape[1], max_epochs=150, random_state=0).fit(train)
free = model.forecast(len(unseen))

# %%
# How far is it from rows that it has not seen, as a set in state space (``D_stsp``) and
# in its spectra (``D_H``)? Beside it the training rows themselves, which is what can be
# asked for, and random rows of the same mean and covariance, which have no dynamics.

rng = np.random.default_rng(0)
noise = rng.multivariate_normal(train.mean(axis=0), np.cov(train.T), size=len(unseen))
for name, rows in ("training rows", train), ("free run", free), ("random rows", noise):
    rows = rows[: len(unseen)]
    apart = d_stsp(unseen, rows, method="histogram"), d_hellinger(unseen, rows)
    print(f"{name:14s} D_stsp {apart[0]:5.2f}   D_H {apart[1]:.2f}")

# %%
# Rows that it has not seen, and its free run, which is no forecast of them.

fig = plt.figure(figsize=(10, 4.6), layout="constrained")
grid = fig.add_gridspec(2, 3)
n = 2_000
for k, (rows, label) in enumerate([(unseen, "not seen"), (free, "free run")]):
    ax = fig.add_subplot(grid[k, :2])
    ax.plot(rows[:n, 0], lw=0.8, c=("0.3", "tab:blue")[k])
    ax.set(title=label, ylabel="first feature", xlim=(0, n))
ax.set_xlabel("row")
ax = fig.add_subplot(grid[:, 2])
ax.plot(unseen[:10_000, 0], unseen[:10_000, 1], lw=0.3, c="0.6", label="not seen")
ax.plot(free[:10_000, 0], free[:10_000, 1], lw=0.3, c="tab:blue", label="free run")
ax.set(xlabel="first feature", ylabel="second")
ax.legend(loc="upper right")
plt.show()
