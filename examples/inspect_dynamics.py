"""
Has the model learned the dynamics?
===================================

A forecast can be good for a few steps and the rule behind it wrong. Lyapunov
exponents and fixed points ask about the rule itself: here of polynomial one-step maps
learned from a recording of Lorenz's system, beside those of its equations.
"""

# %%
# Three models, whose one-step predictions all look perfect.

import matplotlib.pyplot as plt
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline as stock_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skdyn import RegressorForecaster, fixed_points, lyapunov_spectrum, make_pipeline
from skdyn.datasets import lorenz63, make_lorenz63

dt = 0.05
X = make_lorenz63(3000, dt=dt)
models = {}
for degree in (3, 4, 5):
    regressor = stock_pipeline(PolynomialFeatures(degree), LinearRegression())
    model = make_pipeline(StandardScaler(), RegressorForecaster(regressor))
    models[f"degree {degree}"] = model.fit(X)
    print(f"degree {degree}: one-step R² = {models[f'degree {degree}'].score(X):.9f}")

# %%
# Exponents of the equations, from their Jacobian, and of the maps, by differences. All
# orbits are followed together. The largest tells how fast forecasts go wrong; the
# middle one is zero for every flow; the last tells how strongly states are squeezed
# onto the attractor, which data that lies on it hardly shows.

system = lorenz63()
spectra = {"equations": lyapunov_spectrum(system, n_steps=2000, n_starts=32)}
for name, model in models.items():
    spectra[name] = lyapunov_spectrum(model, dt=dt, n_steps=1000, warmup=200)

print(f"{'':12}{'exponents':^27}  Kaplan-Yorke dimension")
for name, spectrum in spectra.items():
    values = " ".join(f"{value:8.3f}" for value in spectrum.exponents)
    print(f"{name:12}{values}  {spectrum.kaplan_yorke_dimension:.3f}")

# %%
# Where the systems stand still. The equations do so at the origin and in the middle of
# the wings. The models know the wings, around which the recording turns. Of the origin,
# which it rarely comes near to, they know less, and far out some have points of their
# own.

found = {"equations": fixed_points(system)}
for name, model in models.items():
    found[name] = fixed_points(model, context=X, dt=dt)
    print(f"{name}: {found[name]}")
    for point, rates in zip(found[name].points, found[name].growth_rates, strict=True):
        print(f"    at {point.round(1)}, growth rates {rates.round(2)}")

# %%
# The running estimates of the largest exponent, and the fixed points.

fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
for name, spectrum in spectra.items():
    style = {"color": "k"} if name == "equations" else {}
    left.plot(spectrum.times, spectrum.running[:, 0], lw=1.2, label=name, **style)
left.axhline(system.lyapunov_exponents[0], color="k", lw=0.6, ls=":")
left.set(xlabel="time", ylabel="largest exponent", ylim=(0.6, 1.2))
left.legend()
right.plot(X[:, 0], X[:, 2], color="0.8", lw=0.4)
for (name, points), marker in zip(found.items(), "+o^s", strict=True):
    color = "k" if name == "equations" else None
    shown = {"ms": 12, "mew": 2} if name == "equations" else {"mfc": "none"}
    x, z = points.points[:, 0], points.points[:, 2]
    right.plot(x, z, marker, color=color, label=name, **shown)
right.set(xlabel="x", ylabel="z", xlim=(-22, 22), ylim=(-12, 50))
right.legend()
plt.show()

# %%
# The Lyapunov time is the unit in which forecasts of chaos should be measured.

time = spectra["equations"].lyapunov_time
print(f"An error grows e-fold in {time:.2f} units of time, {time / dt:.0f} rows")
