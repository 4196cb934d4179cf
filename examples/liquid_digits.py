"""
A liquid of spiking neurons that calms itself
=============================================

A liquid state machine reads handwritten digits row by row, as spikes. Its synapses
begin so strong that activity sustains itself and drowns what comes in. Spike-timing
plasticity turns them down, without labels, and the further with an astrocyte, which
speeds up depression while the liquid spikes more than its input. Some twenty seconds.
"""

# %%
# Digits as trajectories
# ----------------------
# Each image of 8 x 8 pixels is a trajectory of eight rows with eight features. A row is
# shown for ten steps, in each of which a channel may spike, the more often the brighter
# its pixel.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdyn.reservoir import LiquidStateMachine, branching_factor

digits = load_digits(n_class=5)
train, test = train_test_split(
    np.arange(len(digits.images)), test_size=0.4, random_state=0, stratify=digits.target
)
X, y = digits.images, digits.target

# %%
# The same liquid, three ways
# ---------------------------
# ``features="rates", pool="mean"`` makes each image one vector of firing rates, and any
# classifier can stand behind. Plasticity sees 150 training images.

fired, names = {}, {None: "none", "stdp": "STDP", "astrocyte": "STDP and astrocyte"}
for plasticity, name in names.items():
    liquid = LiquidStateMachine(
        300,
        input_range=(0, 16),
        recurrent_scaling=0.35,
        plasticity=plasticity,
        features="rates",
        pool="mean",
        include_state=False,
    ).fit(X[train[:150]])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    classifier.fit(liquid.transform(X[train]), y[train])
    accuracy = classifier.score(liquid.transform(X[test]), y[test])
    fired[name] = liquid.spikes(X[test[:60]])
    print(
        f"{name:20s} accuracy {accuracy:.3f}, "
        f"{300 * fired[name].mean():5.1f} spikes per step, "
        f"branching factor {branching_factor(fired[name], bin_steps=4):.2f}"
    )

# %%
# One image in each liquid
# ------------------------
# Without plasticity activity fills the liquid, whatever the image. With the astrocyte
# little is left but what the image calls forth.

fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
for axis, (name, spikes) in zip(axes, fired.items(), strict=True):
    step, neuron = np.nonzero(spikes[0])
    axis.plot(step, neuron, "k.", markersize=1.5)
    axis.set(title=name, xlabel="step", xlim=(0, spikes.shape[1]))
axes[0].set_ylabel("neuron")
plt.show()
