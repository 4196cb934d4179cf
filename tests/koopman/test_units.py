"""Growth rates are per unit time, frequencies in cycles per unit time: all members."""

import numpy as np
import pytest

from skdyn.koopman import (
    BOPDMD,
    DMD,
    EDMD,
    MPEDMD,
    ConstrainedDMD,
    DMDc,
    GeneratorEDMD,
    HankelDMD,
    KernelEDMD,
    OptDMD,
    SparseDMD,
    koopman_spectrum,
)
from skdyn.preprocessing import DelayEmbedding, PolynomialLift

DT, RATE, FREQUENCY = 0.05, -0.2, 1.5
STATE = PolynomialLift(1, include_bias=False)


def damped(rate):
    t = DT * np.arange(400)
    phase = 2 * np.pi * FREQUENCY * t
    return np.exp(rate * t)[:, None] * np.column_stack([np.cos(phase), np.sin(phase)])


MODELS = {
    "DMD": DMD(dt=DT),
    "DMDc": DMDc(dt=DT),
    "HankelDMD": HankelDMD(4, rank=2, dt=DT),
    "OptDMD": OptDMD(dt=DT),
    "BOPDMD": BOPDMD(dt=DT, n_trials=3),
    "SparseDMD": SparseDMD(n_modes=2, dt=DT),
    "ConstrainedDMD": ConstrainedDMD([[0, 1], [2, 0]], dt=DT),
    "EDMD": EDMD(DelayEmbedding(1), dt=DT),
    "KernelEDMD": KernelEDMD("linear", dt=DT, alpha=0),
    "GeneratorEDMD": GeneratorEDMD(STATE, dt=DT, differentiation="finite"),
}


@pytest.mark.parametrize("name", MODELS)
def test_units_of_a_damped_wave(name):
    spectrum = MODELS[name].fit(damped(RATE)).spectrum_
    # Finite differences of second order know a derivative to some 4%.
    tol = 0.07 if name == "GeneratorEDMD" else 1e-7
    np.testing.assert_allclose(spectrum.growth_rates, RATE, atol=tol)
    np.testing.assert_allclose(np.abs(spectrum.frequencies), FREQUENCY, atol=tol)


def test_units_of_a_generator_with_derivatives():
    X = damped(RATE)
    turn = 2 * np.pi * FREQUENCY
    x_dot = X @ np.array([[RATE, turn], [-turn, RATE]])
    spectrum = GeneratorEDMD(STATE, dt=DT).fit(X, x_dot=x_dot).spectrum_
    np.testing.assert_allclose(spectrum.growth_rates, RATE, atol=1e-9)
    np.testing.assert_allclose(np.abs(spectrum.frequencies), FREQUENCY, atol=1e-9)
    factor = np.exp((RATE + 1j * turn) * DT)
    np.testing.assert_allclose(spectrum.eigenvalues[0], factor, atol=1e-9)


def test_units_of_what_neither_grows_nor_decays():
    X = damped(0.0)[:361]  # whole turns: 40 / 3 rows each
    for model in (MPEDMD(STATE, dt=DT), ConstrainedDMD("orthogonal", dt=DT)):
        spectrum = model.fit(X).spectrum_
        np.testing.assert_allclose(spectrum.growth_rates, 0, atol=1e-9)
        np.testing.assert_allclose(np.abs(spectrum.frequencies), FREQUENCY, atol=1e-9)
    found = koopman_spectrum(DMD().fit(X), X, STATE, dt=DT)
    np.testing.assert_allclose(np.abs(found.frequencies), FREQUENCY, atol=1e-9)
