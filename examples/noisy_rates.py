"""
Rates with error bars from noisy, uneven samples
================================================

Two damped waves are sampled at random times by one noisy sensor. Optimised DMD fits
exponentials to all rows at once; bagging tells how sure it is, and how far a forecast
may be off.
"""

# %%
# One sensor, 300 random times, noise of a third of the signal.

import matplotlib.pyplot as plt
import numpy as np

from skdyn.koopman import BOPDMD

rng = np.random.default_rng(1)
rates = np.array([-0.02 + 2.0j, -0.1 + 5.0j])


def signal(t):
    """The truth without noise."""
    return np.exp(np.multiply.outer(t, rates)).real.sum(axis=1)


t = np.sort(rng.uniform(0, 20, 300))
X = (signal(t) + 0.3 * rng.standard_normal(300))[:, None]
model = BOPDMD(rank=4, dt=0.05).fit(X, t=t)

# %%
# Growth rates and frequencies, with standard errors, beside the truth.

spectrum = model.spectrum_
for j in (0, 2):
    truth = rates[j // 2]
    print(
        f"growth {spectrum.growth_rates[j]:+.4f} +- "
        f"{spectrum.growth_rate_errors[j]:.4f} (truth {truth.real:+.4f}), "
        f"angular frequency {2 * np.pi * spectrum.frequencies[j]:.4f} +- "
        f"{2 * np.pi * spectrum.frequency_errors[j]:.4f} (truth {truth.imag:.4f})"
    )

# %%
# The forecast goes on from amplitudes fitted to all rows. Nine in ten of the next noisy
# observations should lie in the band.

interval = model.forecast_interval(200, coverage=0.9)
ahead = t[-1] + 0.05 * np.arange(1, 201)
seen = signal(ahead) + 0.3 * rng.standard_normal(200)
inside = (interval.lower[:, 0] < seen) & (seen < interval.upper[:, 0])
print(f"inside the band: {inside.mean():.0%}")

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
left.plot(model.rates_samples_.real, model.rates_samples_.imag, ".", c="0.7", ms=3)
left.plot(rates.real, rates.imag, "k+", ms=14)
left.set(xlabel="growth rate", ylabel="angular frequency", ylim=(0, 6), title="refits")
right.plot(t, X, ".", c="0.7")
right.plot(ahead, signal(ahead), "k", lw=1, label="truth")
right.plot(ahead, interval.mean, label="forecast")
right.fill_between(ahead, interval.lower[:, 0], interval.upper[:, 0], alpha=0.3)
right.set(xlabel="time", xlim=(10, 30))
right.legend()
plt.show()
