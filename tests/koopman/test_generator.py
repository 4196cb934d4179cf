"""Generator EDMD against flows whose generator is known."""

import numpy as np
import pytest
from scipy import linalg
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skdyn.koopman import EDMD, GeneratorEDMD, pseudospectrum
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import (
    DelayEmbedding,
    FiniteDifference,
    FunctionLift,
    PolynomialLift,
)

MU, LAM = -0.3, -1.0


def square(x):
    return x[:, 0] ** 2


def square_slope(x):
    return np.column_stack([2 * x[:, 0], 0 * x[:, 1]])


def squares():
    return FunctionLift([square], jac=[square_slope])


def slow_manifold(n=100, seed=0):
    """x' = mu x, y' = lambda (y - x²): rows anywhere, and their derivatives."""
    X = np.random.default_rng(seed).uniform(-1, 1, (n, 2))
    return X, np.column_stack([MU * X[:, 0], LAM * (X[:, 1] - X[:, 0] ** 2)])


def flow(x0, t):
    """Its solution: (y - c x²) decays at lambda, with c = lambda / (lambda - 2 mu)."""
    c = LAM / (LAM - 2 * MU)
    x = x0[0] * np.exp(MU * t)
    return np.column_stack([x, (x0[1] - c * x0[0] ** 2) * np.exp(LAM * t) + c * x**2])


def test_the_slow_manifold():
    X, x_dot = slow_manifold()
    model = GeneratorEDMD(squares(), dt=0.1).fit(X, x_dot=x_dot)
    np.testing.assert_allclose(model.rates_, [MU, 2 * MU, LAM], atol=1e-12)
    want = [[MU, 0, 0], [0, LAM, 0], [0, -LAM, 2 * MU]]
    np.testing.assert_allclose(model.generator_, want, atol=1e-12)
    spectrum = model.spectrum_
    np.testing.assert_allclose(spectrum.growth_rates, model.rates_.real, atol=1e-12)
    np.testing.assert_allclose(spectrum.residuals, 0, atol=1e-12)
    t = 0.1 * np.arange(61)
    truth = flow([0.8, -0.5], t)
    got = model.forecast(60, context=truth[:1])
    np.testing.assert_allclose(got, truth[1:], atol=1e-12)
    # An eigenfunction grows at its rate along the flow.
    phi = model.eigenfunctions(truth)
    want = phi[0] * np.exp(np.multiply.outer(t, model.rates_))
    np.testing.assert_allclose(phi, want, atol=1e-11)
    # Modes and amplitudes make up the state.
    rows = spectrum.amplitudes @ spectrum.modes
    np.testing.assert_allclose(rows.real, X[:1], atol=1e-12)


def test_rates_of_powers():
    x = np.linspace(-1, 1, 30)[:, None]
    model = GeneratorEDMD(PolynomialLift(4)).fit(x, x_dot=-x)
    np.testing.assert_allclose(model.rates_, -np.arange(5.0), atol=1e-10)


def test_a_rotation_faster_than_the_step():
    # Three turns per step: no pair of rows could tell.
    w = 6 * np.pi + 0.5
    X = np.random.default_rng(0).standard_normal((50, 2))
    model = GeneratorEDMD(PolynomialLift(1)).fit(X, x_dot=X @ [[0, w], [-w, 0]])
    got = model.rates_[np.argsort(model.rates_.imag)]
    np.testing.assert_allclose(got, [-1j * w, 0, 1j * w], atol=1e-10)
    turned = X[-1] @ linalg.expm(np.array([[0, w], [-w, 0]]))
    np.testing.assert_allclose(model.predict(1)[0], turned, atol=1e-10)


def test_products_of_rates():
    A = np.array([[-0.1, 1.0], [-1.0, -0.1]])
    X = np.random.default_rng(0).standard_normal((200, 2))
    rates = GeneratorEDMD(PolynomialLift(2)).fit(X, x_dot=X @ A).rates_
    want = [0, -0.1 + 1j, -0.1 - 1j, -0.2, -0.2 + 2j, -0.2 - 2j]
    got = rates[np.lexsort((rates.imag, rates.real))]
    want = np.array(want)[np.lexsort((np.imag(want), np.real(want)))]
    np.testing.assert_allclose(got.real, want.real, atol=1e-10)
    # -0.2 and -0.2 +- 2i have one real part, so are sorted by rounding.
    np.testing.assert_allclose(np.sort(got.imag), np.sort(want.imag), atol=1e-10)


def test_derivatives_are_estimated_on_even_and_uneven_times():
    rng = np.random.default_rng(0)
    times = [0.01 * np.arange(200), np.sort(rng.uniform(0, 3, 400))]
    X = [flow([0.8, -0.5], times[0]), flow([-0.5, 1.0], times[1])]
    fourth = FiniteDifference(4)
    model = GeneratorEDMD(squares(), dt=0.01, differentiation=fourth).fit(X, t=times)
    np.testing.assert_allclose(model.rates_, [MU, 2 * MU, LAM], atol=1e-4)
    even = GeneratorEDMD(squares(), dt=0.01, differentiation=fourth).fit(X[0])
    np.testing.assert_allclose(even.rates_, [MU, 2 * MU, LAM], atol=1e-5)
    # The error of the differences is what is left: of their order in the step.
    second = GeneratorEDMD(squares(), dt=0.01).fit(X[0])
    off = np.abs(second.rates_ - [MU, 2 * MU, LAM]).max()
    assert off > 10 * np.abs(even.rates_ - [MU, 2 * MU, LAM]).max()


def test_a_spline_reads_rates_through_noise():
    t = 0.02 * np.arange(500)
    clean = np.column_stack([np.cos(t), -np.sin(t)])
    noisy = clean + 0.02 * np.random.default_rng(0).standard_normal(clean.shape)
    lift = PolynomialLift(1, include_bias=False)
    spline = GeneratorEDMD(lift, differentiation="spline", dt=0.02).fit(noisy)
    finite = GeneratorEDMD(lift, dt=0.02).fit(noisy)
    errors = [abs(model.rates_[0] - 1j) for model in (spline, finite)]
    assert errors[0] < 0.01
    assert errors[0] < errors[1]


def test_units_decide_nothing():
    X, x_dot = slow_manifold()
    for size in (1e-6, 1e6):
        lift = PolynomialLift(2)
        plain = GeneratorEDMD(lift, alpha=1e-6).fit(X, x_dot=x_dot)
        scaled = GeneratorEDMD(lift, alpha=1e-6).fit(size * X, x_dot=size * x_dot)
        np.testing.assert_allclose(scaled.rates_, plain.rates_, atol=1e-9)
        np.testing.assert_allclose(scaled.predict(5), size * plain.predict(5))


def test_fast_sampling_agrees_with_edmd():
    t = 1e-3 * np.arange(2000)
    X = flow([0.8, -0.5], t)
    pairs = EDMD(squares(), dt=1e-3).fit(X)
    generator = GeneratorEDMD(squares(), dt=1e-3).fit(X)
    got = np.sort(generator.rates_.real)
    np.testing.assert_allclose(got, np.sort(pairs.spectrum_.growth_rates), atol=1e-4)
    np.testing.assert_allclose(
        generator.koopman_matrix_, pairs.koopman_matrix_, atol=1e-6
    )


def test_blocks_of_rows_are_one_fit(monkeypatch):
    X, x_dot = slow_manifold(2000)
    x_dot = x_dot + 0.1 * np.random.default_rng(1).standard_normal(X.shape)
    whole = GeneratorEDMD().fit(X, x_dot=x_dot)
    monkeypatch.setattr("skdyn.koopman._generator._BLOCK", 1)
    parts = GeneratorEDMD().fit(X, x_dot=x_dot)
    np.testing.assert_allclose(parts.generator_, whole.generator_, atol=1e-9)


def test_a_cut_rank_leaves_the_rest_as_it_is():
    # Rows on a line: across it nothing is known to move.
    x = np.linspace(0.5, 1, 20)[:, None] * [[1.0, 2.0]]
    lift = PolynomialLift(1, include_bias=False)
    model = GeneratorEDMD(lift).fit(x, x_dot=-x)
    assert model.rank_ == 1
    np.testing.assert_allclose(model.rates_, [-1], atol=1e-12)
    across = np.array([[1.0, -2.0]])  # orthogonal in columns of unit size
    np.testing.assert_allclose(model.forecast(1, context=across), across, atol=1e-12)
    along = np.array([[1.0, 2.0]])
    got = model.forecast(1, context=along)
    np.testing.assert_allclose(got, np.exp(-1) * along, atol=1e-12)


def test_residuals_and_pseudospectra_are_in_rates():
    # x' = -x³ is not closed in (1, x, x², x³).
    x = np.linspace(-1, 1, 200)[:, None]
    model = GeneratorEDMD(PolynomialLift(3)).fit(x, x_dot=-(x**3))
    spectrum = model.spectrum_
    assert spectrum.residuals[0] < 1e-12  # the constant
    assert spectrum.residuals[1:].min() > 0.01
    phi = model.eigenfunctions(x)[:, 1]
    # The derivative of a polynomial of degree 3, by its coefficients.
    slope = np.polyval(np.polyder(np.polyfit(x[:, 0], phi, 3)), x[:, 0])
    off = slope * -(x[:, 0] ** 3) - model.rates_[1] * phi
    want = np.linalg.norm(off) / np.linalg.norm(phi)
    assert spectrum.residuals[1] == pytest.approx(want, rel=1e-6)
    least = pseudospectrum(model, [model.rates_[1]]).residuals[0]
    assert least <= spectrum.residuals[1] * (1 + 1e-9)


def test_a_foreign_transformer_is_differentiated():
    X, x_dot = slow_manifold()
    ours = GeneratorEDMD(PolynomialLift(2)).fit(X, x_dot=x_dot)
    foreign = GeneratorEDMD(PolynomialFeatures(2)).fit(X, x_dot=x_dot)
    np.testing.assert_allclose(foreign.generator_, ours.generator_, atol=1e-8)
    np.testing.assert_allclose(foreign.predict(3), ours.predict(3), atol=1e-8)


def test_forms_of_given_derivatives():
    X, x_dot = slow_manifold()
    whole = GeneratorEDMD(squares()).fit(X, x_dot=x_dot)
    listed = GeneratorEDMD(squares()).fit(
        [X[:30], X[30:]], x_dot=[x_dot[:30], x_dot[30:]]
    )
    array = GeneratorEDMD(squares()).fit(
        X.reshape(4, 25, 2), x_dot=x_dot.reshape(4, 25, 2)
    )
    for model in (listed, array):
        np.testing.assert_allclose(model.generator_, whole.generator_, atol=1e-11)
    # Single rows are no trajectory to learn from, unless their derivative is known.
    points = GeneratorEDMD(squares()).fit(X[:, None], x_dot=x_dot[:, None])
    np.testing.assert_allclose(points.generator_, whole.generator_, atol=1e-11)


def test_what_is_refused():
    X, x_dot = slow_manifold()
    for lift in (DelayEmbedding(2), make_pipeline(StandardScaler(), PolynomialLift())):
        with pytest.raises(TypeError, match="needs a lift with derivatives"):
            GeneratorEDMD(lift).fit(X, x_dot=x_dot)
    with pytest.raises(ValueError, match="got both x_dot and t"):
        GeneratorEDMD().fit(X, x_dot=x_dot, t=np.arange(100.0))
    with pytest.raises(ValueError, match="the form and the rows of X"):
        GeneratorEDMD().fit(X, x_dot=x_dot[1:])
    with pytest.raises(ValueError, match="each of 2 features, got 1"):
        GeneratorEDMD().fit(X, x_dot=x_dot[:, :1])
    root = FunctionLift(
        [lambda x: np.sqrt(np.abs(x[:, 0]))],
        jac=[lambda x: np.column_stack([0.5 / np.sqrt(x[:, 0]), 0 * x[:, 0]])],
    )
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match="finite derivatives"),
    ):
        GeneratorEDMD(root).fit(X, x_dot=x_dot)
