"""
A gallery of systems
====================

Every system and every recording that skdyn ships, each in one panel: flows and maps as
their attractors, the Kuramoto-Sivashinsky equation as a picture of space and time, the
recordings as series.
"""

# %%
# A system is a value: equations, Jacobian, random starts, a usual time step.
# `make_trajectories` integrates or iterates any of them, by default from a random
# start, with the way to the attractor thrown away.

import matplotlib.pyplot as plt
import numpy as np

from skdyn import datasets
from skdyn.datasets import make_trajectories

# system, rows, time between rows, the two features to draw
flows = [
    (datasets.lorenz63(), 4000, 0.01, "x", "z"),
    (datasets.rossler(), 5000, 0.05, "x", "y"),
    (datasets.chua(), 5000, 0.03, "x", "z"),
    (datasets.sprott_m(), 5000, 0.05, "x", "y"),
    (datasets.lorenz96(8), 2000, 0.02, "x0", "x1"),
    (datasets.duffing(), 5000, None, "x", "v"),
    (datasets.hindmarsh_rose(), 5000, 0.2, "z", "x"),
    (datasets.bursting_neuron(), 4000, None, "h", "V"),
]
fig, axes = plt.subplots(2, 4, figsize=(10, 4.6), layout="constrained")
panels = iter(axes.ravel())
for system, n_samples, dt, *pair in flows:
    x, y = make_trajectories(system, n_samples, dt=dt, observed=pair, rtol=1e-6).T
    ax = next(panels)
    ax.plot(x, y, lw=0.4)
    ax.set(title=system.name, xlabel=pair[0], ylabel=pair[1])
plt.show()

# %%
# Many starts are one call, and give one array (n_trajectories, n_samples, n_features).
# The two double pendulums start a thousandth of a radian apart.

cycles = [
    (datasets.van_der_pol(), {"warmup": 0.0}, "x", "v"),
    (datasets.lotka_volterra(), {}, "prey", "predator"),
    (datasets.pendulum(damping=0.1), {}, "theta", "omega"),
]
fig, axes = plt.subplots(1, 4, figsize=(10, 2.4), layout="constrained")
panels = iter(axes)
for system, options, *pair in cycles:
    X = make_trajectories(system, 300, n_trajectories=4, observed=pair, **options)
    ax = next(panels)
    for trajectory in X:
        ax.plot(*trajectory.T, lw=0.7)
    ax.set(title=system.name, xlabel=pair[0], ylabel=pair[1])

system = datasets.double_pendulum()
starts = np.array([[2.2, 2.2, 0.0, 0.0], [2.201, 2.2, 0.0, 0.0]])
X = make_trajectories(system, 600, starts=starts, observed="theta1")
ax = next(panels)
ax.plot(system.dt * np.arange(600), X[:, :, 0].T, lw=0.8)
ax.set(title=system.name, xlabel="time (s)", ylabel="theta1")
plt.show()

# %%
# Maps, a delay and a partial differential equation.

fig, axes = plt.subplots(1, 5, figsize=(12, 2.4), layout="constrained")
panels = iter(axes)
for system in (datasets.henon(), datasets.ikeda()):
    x, y = make_trajectories(system, 8000).T
    ax = next(panels)
    ax.plot(x, y, ",")
    ax.set(title=system.name, xlabel="x", ylabel="y")

x = make_trajectories(datasets.logistic(), 400, n_trajectories=50)[..., 0]
ax = next(panels)
ax.hist(x.ravel(), bins=50, density=True)
density = np.linspace(0.003, 0.997, 300)
ax.plot(density, 1 / (np.pi * np.sqrt(density * (1 - density))), "k", lw=0.8)
ax.set(title="Logistic", xlabel="x", ylabel="density")

x = datasets.make_mackey_glass(3000)[:, 0]
ax = next(panels)
ax.plot(x[17:], x[:-17], lw=0.4)
ax.set(title="Mackey-Glass", xlabel="x(t)", ylabel="x(t - 17)")

u = datasets.make_kuramoto_sivashinsky(200, dt=1.0)
ax = next(panels)
ax.imshow(u.T, aspect="auto", origin="lower", extent=(0, 200, 0, 22), cmap="RdBu_r")
ax.set(title="Kuramoto-Sivashinsky", xlabel="time", ylabel="x")
plt.show()

# %%
# The recordings.

fig, axes = plt.subplots(1, 3, figsize=(10, 2.4), layout="constrained")
panels = iter(axes)
sunspots, nino = datasets.load_sunspots(), datasets.load_nino_sst()
pelts = datasets.load_lynx_hare()
for title, t, rows, label in (
    ("Sunspots", sunspots.year, sunspots.data, "number"),
    ("Niño 1+2", nino.year + (nino.month - 0.5) / 12, nino.data, "sea surface (°C)"),
    ("Lynx and hare", pelts.year, pelts.data, "pelts (thousands)"),
):
    ax = next(panels)
    ax.plot(t, rows, lw=0.7)
    ax.set(title=title, xlabel="year", ylabel=label)
plt.show()
