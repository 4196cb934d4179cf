"""
How many delays, and how far apart
==================================

From one coordinate of the Lorenz system, `choose_delay` and `choose_dimension` read the
delay and the number of blocks of a `DelayEmbedding`, and show the curves that they
decided on.
"""

# %%
# Average mutual information falls until neighbouring blocks say something new; false
# nearest neighbours vanish once the attractor is unfolded.

import matplotlib.pyplot as plt

from skdyn.datasets import make_lorenz63
from skdyn.preprocessing import DelayEmbedding, choose_delay, choose_dimension

x = make_lorenz63(5000, dt=0.01)[:, :1]
delay = choose_delay(x, max_delay=60)
false = choose_dimension(x, delay=delay.delay, method="false_neighbors")
cao = choose_dimension(x, delay=delay.delay, method="cao")
print(delay, false, cao, sep="\n")

# %%
# The embedding, beside the curves.

embedding = DelayEmbedding(false.dimension, delay=delay.delay)
z = embedding.fit_transform(x)

fig = plt.figure(figsize=(10, 3.2), layout="constrained")
ax = fig.add_subplot(1, 3, 1)
ax.plot(delay.lags, delay.curve)
ax.axvline(delay.delay, color="k", ls=":")
ax.set(xlabel="lag (rows)", ylabel="mutual information (nats)")
ax = fig.add_subplot(1, 3, 2)
ax.plot(false.dimensions, false.curve, "o-", label="false neighbours")
ax.plot(cao.dimensions, cao.curve, "s-", label="Cao's E1")
ax.axvline(false.dimension, color="k", ls=":")
ax.set(xlabel="dimension")
ax.legend()
ax = fig.add_subplot(1, 3, 3, projection="3d")
ax.plot(*z[:, :3].T, lw=0.3)
ax.set(xlabel="x[k]", ylabel=f"x[k-{delay.delay}]", zlabel=f"x[k-{2 * delay.delay}]")
plt.show()
