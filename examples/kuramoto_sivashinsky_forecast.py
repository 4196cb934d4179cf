"""
A chaotic flame, forecast patch by patch
========================================

The Kuramoto-Sivashinsky equation makes chaos in space and time. One network that sees
the whole field has much to learn; a small patch depends on its neighbourhood only, and
on a circle all patches obey one law. `LocalReservoir` learns it from all of them.
"""

# %%
# The field at 64 points of a circle of length 22, a row every 0.25. Time is told in
# Lyapunov times: in each, small errors grow by a factor of e.

import matplotlib.pyplot as plt
import numpy as np

from skdyn.base import Horizon
from skdyn.datasets import kuramoto_sivashinsky, make_trajectories
from skdyn.metrics import forecast_scale, valid_prediction_time
from skdyn.reservoir import ESN, LocalReservoir

length, dt = 22.0, 0.25
system = kuramoto_sivashinsky(length, dt=dt)
exponent = system.lyapunov_exponents[0]
X = make_trajectories(system, 6000, random_state=1)
T = make_trajectories(system, 650, n_trajectories=8, random_state=2)
context, truth = T[:, :150], T[:, 150:]

# %%
# Both are fitted as they come: patches follow the correlation between points, and the
# ridge penalty is chosen by how well the model runs free.

local = LocalReservoir(300).fit(X)
print(f"{local.n_patches_} patches of {local.patch_[0]}, halo {local.halo_[0]}")

request = Horizon(truth.shape[1], context=context)
valid = {}
for name, model in (("local", local), ("global", ESN(300, target="next").fit(X))):
    forecast = model.predict(request)
    valid[name] = valid_prediction_time(
        truth,
        forecast,
        scale=forecast_scale(X),
        dt=dt,
        lyapunov_exponent=exponent,
    )
    print(f"{name}: valid for {np.mean(valid[name]):.2f} Lyapunov times")

# %%
# Truth, forecast and error of a start that is neither lucky nor unlucky. The forecast
# keeps the look of the truth after it has lost its way.

forecast = local.predict(request)
i = int(np.argsort(valid["local"])[len(truth) // 2])
t = exponent * dt * np.arange(truth.shape[1])
x = length * np.arange(64) / 64
fig, axes = plt.subplots(3, 1, figsize=(8, 6), layout="constrained", sharex=True)
pictures = {
    "truth": truth[i],
    "forecast": forecast[i],
    "error": forecast[i] - truth[i],
}
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    mesh = ax.pcolormesh(t, x, picture.T, cmap="RdBu_r", vmin=-3, vmax=3)
    ax.axvline(valid["local"][i], color="k", ls="--", lw=1)
    ax.set(title=title, ylabel="x")
axes[-1].set(xlabel="Lyapunov times; the line is the valid time")
fig.colorbar(mesh, ax=axes, label="u")
plt.show()
