"""
A pendulum that is pushed
=========================

A damped pendulum with a motor at its pivot. The equation of motion, sine and all, is
read from one noisy recording, and then forecasts what torques would do that were never
tried: given as rows, or as a function of time.
"""

# %%
# Sixty units of time under a torque of two tones, strong enough that the pendulum turns
# over now and then. Angle and velocity have noise of 1%.

import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp

from skdyn.preprocessing import FourierLift, PolynomialLift
from skdyn.sindy import SINDy

dt, damping = 0.05, 0.25


def swing(torque, start, n_rows):
    """The truth, under a torque u(t)."""

    def velocity(t, x):
        return [x[1], -damping * x[1] - np.sin(x[0]) + torque(t)]

    t = dt * np.arange(n_rows)
    run = solve_ivp(velocity, t[[0, -1]], start, t_eval=t, rtol=1e-9, max_step=dt)
    return run.y.T


def tones(t):
    """The torque of the recording."""
    return 1.2 * np.sin(0.7 * t) + 0.8 * np.sin(1.9 * t + 1)


t = dt * np.arange(1200)
clean = swing(tones, [1.0, 0.0], len(t))
rng = np.random.default_rng(0)
noisy = clean + 0.01 * clean.std(axis=0) * rng.standard_normal(clean.shape)

# %%
# The library: a constant, states and torque, and sines and cosines of all of them. Sums
# of lifts keep once what both have. Inputs are columns beside the states, u0.

model = SINDy(PolynomialLift(1) + FourierLift(), dt=dt)
model.fit(noisy, u=tones(t)[:, None])
print(f"{len(model.terms_)} terms:", *model.terms_)
print(model.equations_.text(3))
lower, upper = model.coef_interval(0.9)
for j, i in np.argwhere(model.coef_):
    name = f"{model.library_.states[j]}': {model.terms_[i]}"
    print(f"{name:12} {lower[j, i]:7.4f} to {upper[j, i]:7.4f}")

# %%
# New torques, of other kinds than the one seen, from rest. A function of time acts as
# it is; its time is 0 at the first row of the context. Rows are held: the first acts
# from the last row of the context until the first row of the forecast. A motor that is
# switched between levels is rows.

n = 500
rest = np.array([[0.0, 0.0]])


def chirp(t):
    """Ever faster pushes."""
    return 1.1 * np.sin(0.4 * t + 0.035 * t**2)


def held(rows):
    """Rows of torques as a function of time."""
    return lambda t: rows[min(int(t / dt + 1e-9), n - 1)]


kind = np.repeat([1.2, 0.0, -0.8, 1.2, 0.0], 100)
bold = np.repeat([1.2, -0.6, 0.0, -1.3, 0.4], 100)
torques = [chirp, held(kind), held(bold)]
true = [swing(torque, rest[0], n + 1)[1:] for torque in torques]
found = [
    model.forecast(n, context=rest, u=chirp),
    model.forecast(n, context=rest, u=kind[:, None]),
]
for name, rows, right in zip(("chirp", "levels"), found, true, strict=False):
    worst = np.abs(rows - right)[:, 0].max()
    span = np.ptp(right[:, 0])
    print(f"{name}: angle wrong by {worst:.2f} rad at most, of a range of {span:.0f}")

# %%
# Other levels bring the pendulum nearly to rest on its top. On which side it falls is
# decided by less than what the data leave open, and ``forecast_interval`` says so: of
# models that fit as well, some go over, and some fall back.

band = model.forecast_interval(n, context=rest, u=bold[:, None], n_models=40)

titles = ["function of time", "levels, as rows", "levels, by way of the top"]
clock = dt * np.arange(1, n + 1)
fig, axes = plt.subplots(
    2,
    3,
    figsize=(10, 4.5),
    sharex=True,
    sharey="row",
    height_ratios=[1, 2.5],
    layout="constrained",
)
for i, (torque, title) in enumerate(zip(torques, titles, strict=True)):
    axes[0, i].plot(clock, [torque(each) for each in clock], "0.3", lw=1)
    axes[0, i].set(title=title)
    axes[1, i].plot(clock, true[i][:, 0], "k", lw=4, alpha=0.25, label="truth")
for i, rows in enumerate(found):
    axes[1, i].plot(clock, rows[:, 0], "tab:blue", label="forecast")
for j, rows in enumerate(band.samples):
    label = "40 models" if j == 0 else None
    axes[1, 2].plot(clock, rows[:, 0], "tab:orange", lw=0.5, alpha=0.6, label=label)
axes[1, 2].plot(clock, band.mean[:, 0], "tab:blue", label="forecast")
for ax in axes[1]:
    ax.set(xlabel="time")
axes[1, 2].legend(loc="upper left")
axes[0, 0].set(ylabel="torque")
axes[1, 0].set(ylabel="angle, radians")
plt.show()
