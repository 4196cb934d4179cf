"""EDMD, its measure-preserving kin and pseudospectra, against known operators."""

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss, legvander
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skdyn.exceptions import DivergenceWarning
from skdyn.koopman import (
    DMD,
    EDMD,
    MPEDMD,
    DMDc,
    koopman_spectrum,
    pseudospectrum,
)
from skdyn.model_selection import forecast_scorer
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import (
    DelayEmbedding,
    FunctionLift,
    PolynomialLift,
    RadialBasisLift,
)


def square(x):
    return x[:, 0] ** 2


def slow_manifold(n_trajectories=5, n=20, seed=0, a=0.9, b=0.5, c=0.3):
    """x+ = a x, y+ = b y + c x²: linear in (x, y, x²), with eigenvalues a, b, a²."""
    X = np.empty((n_trajectories, n, 2))
    X[:, 0] = np.random.default_rng(seed).uniform(-1, 1, (n_trajectories, 2))
    for k in range(n - 1):
        x, y = X[:, k].T
        X[:, k + 1] = np.column_stack([a * x, b * y + c * x**2])
    return X


def linear_pairs(A, n=200, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, (n, len(A)))
    return np.stack([x, x @ A], axis=1)


def legendre(x, n=40):
    """Legendre functions, orthonormal on [-1, 0]."""
    return legvander(2 * x[:, 0] + 1, n - 1) * np.sqrt(2 * np.arange(n) + 1)


def gauss_map_model():
    nodes, weights = leggauss(100)
    x, w = (nodes - 1) / 2, weights / 2
    y = np.exp(-2 * x**2) - 1 - np.exp(-2)
    pairs, rows = np.stack([x, y], axis=1)[..., None], np.stack([w, 0 * w], axis=1)
    lift = FunctionLift([legendre], include_state=False)
    return EDMD(lift).fit(pairs, weights=rows)


# -- least squares ---------------------------------------------------------------------


def test_a_finite_koopman_invariant_subspace():
    X = slow_manifold()
    edmd = EDMD(FunctionLift([square])).fit(X)
    spectrum = edmd.spectrum_
    np.testing.assert_allclose(spectrum.eigenvalues, [0.9, 0.81, 0.5], atol=1e-12)
    np.testing.assert_allclose(spectrum.residuals, 0, atol=1e-12)
    fresh = slow_manifold(seed=1, n=60)
    got = edmd.forecast(50, context=fresh[:, :10])
    np.testing.assert_allclose(got, fresh[:, 10:], atol=1e-12)
    # Its eigenfunctions evolve by their eigenvalues.
    phi = edmd.eigenfunctions(fresh)
    np.testing.assert_allclose(
        phi[:, 1:], phi[:, :-1] * spectrum.eigenvalues, atol=1e-12
    )


def test_products_of_eigenvalues():
    A = np.array([[0.9, -0.1], [0.0, 0.8]])
    edmd = EDMD(PolynomialLift(4)).fit(linear_pairs(A))
    want = [0.9**i * 0.8**j for i in range(5) for j in range(5 - i)]
    got = np.sort(edmd.spectrum_.eigenvalues.real)
    np.testing.assert_allclose(got, np.sort(want), atol=1e-10)
    assert edmd.koopman_matrix_.shape == (15, 15)


def test_without_a_lift_it_is_dmd():
    X = np.random.default_rng(0).standard_normal((100, 3)).cumsum(axis=0)
    edmd, dmd = EDMD(DelayEmbedding(1), dt=0.1).fit(X), DMD(dt=0.1).fit(X)
    np.testing.assert_allclose(edmd.predict(20), dmd.predict(20), rtol=1e-9)
    for name in ("eigenvalues", "growth_rates", "frequencies", "residuals"):
        got, want = getattr(edmd.spectrum_, name), getattr(dmd.spectrum_, name)
        np.testing.assert_allclose(got, want, rtol=1e-7)


def test_delays_inside_are_delays_before():
    t = 0.2 * np.arange(300)
    X = (np.sin(t) + np.sin(2.3 * t))[:, None]
    inside = EDMD(DelayEmbedding(8)).fit(X)
    before = make_pipeline(DelayEmbedding(8), DMD()).fit(X)
    assert inside.min_context_ == 8
    np.testing.assert_allclose(inside.predict(50), before.predict(50), atol=1e-8)


def test_units_decide_nothing():
    X = slow_manifold()
    plain = EDMD(PolynomialLift(3), alpha=1e-8).fit(X)
    scaled = EDMD(PolynomialLift(3), alpha=1e-8).fit(1e6 * X)
    np.testing.assert_allclose(scaled.predict(5), 1e6 * plain.predict(5), rtol=1e-7)


def test_eigenvalues_of_the_ornstein_uhlenbeck_process():
    # Hermite polynomials are eigenfunctions, of eigenvalues exp(-k theta dt).
    theta, dt, n = 1.0, 0.5, 40000
    rng, factor = np.random.default_rng(0), np.exp(-theta * dt)
    x = rng.standard_normal((n, 1))
    y = factor * x + np.sqrt(1 - factor**2) * rng.standard_normal((n, 1))
    spectra = []
    for part in np.array_split(np.arange(n), 10):
        pairs = np.stack([x[part], y[part]], axis=1)
        spectra.append(EDMD(PolynomialLift(4)).fit(pairs).spectrum_.eigenvalues.real)
    error = np.std(spectra, axis=0) / np.sqrt(10)
    got = EDMD(PolynomialLift(4)).fit(np.stack([x, y], axis=1)).spectrum_.eigenvalues
    off = np.abs(got.real - factor ** np.arange(5))
    assert (off < 4 * error + 1e-10).all()
    assert (error[1:4] < 0.03).all()


def test_the_constant_is_an_eigenfunction_of_the_logistic_map():
    x = np.empty(5000)
    x[0] = 0.3
    for k in range(4999):
        x[k + 1] = 4 * x[k] * (1 - x[k])
    lift = RadialBasisLift(30, include_state=False, random_state=0)
    spectrum = EDMD(lift, rank=0.9999999).fit(x[:, None]).spectrum_
    assert abs(spectrum.eigenvalues[0] - 1) < 1e-3


def test_relifting_heals_a_lift_that_is_not_closed():
    x = np.empty((200, 1))
    x[0] = 0.9
    for k in range(199):
        x[k + 1] = x[k] - 0.1 * x[k] ** 3
    errors = []
    for relift in (False, True):
        edmd = EDMD(PolynomialLift(3), relift=relift).fit(x[:50])
        errors.append(np.abs(edmd.forecast(100, context=x[:50]) - x[50:150]).max())
    assert errors[1] < 1e-8 < errors[0]


def test_a_foreign_transformer_comes_back_by_a_fitted_readout():
    X = slow_manifold()
    ours = EDMD(PolynomialLift(2)).fit(X)
    foreign = EDMD(PolynomialFeatures(2)).fit(X)
    np.testing.assert_allclose(foreign.predict(9), ours.predict(9), atol=1e-9)


def test_a_lift_without_the_state_is_read_out():
    # x = asin(sin x) is no column, but linear in what is there: x = (x + x²) - x².
    X = slow_manifold()
    lift = FunctionLift(
        [lambda x: x[:, 0] + x[:, 0] ** 2, square, lambda x: x[:, 1]],
        include_state=False,
    )
    edmd = EDMD(lift).fit(X)
    fresh = slow_manifold(seed=1)
    got = edmd.forecast(10, context=fresh[:, :10])
    np.testing.assert_allclose(got, fresh[:, 10:], atol=1e-10)


def test_an_inverse_that_is_not_linear_is_followed():
    X = 5 + slow_manifold()  # StandardScaler's inverse has an offset
    edmd = EDMD(make_pipeline(StandardScaler(), PolynomialLift(2))).fit(X)
    fresh = 5 + slow_manifold(seed=1)
    got = edmd.forecast(10, context=fresh[:, :10])
    np.testing.assert_allclose(got, fresh[:, 10:], atol=1e-10)


def test_blocks_of_rows_are_one_fit(monkeypatch):
    X = np.random.default_rng(0).standard_normal((500, 2)).cumsum(axis=0)
    whole = EDMD(DelayEmbedding(3)).fit(X)
    monkeypatch.setattr("skdyn.koopman._lifted._CHUNK", 64)
    parts = EDMD(DelayEmbedding(3)).fit(X)
    np.testing.assert_allclose(parts.predict(5), whole.predict(5), rtol=1e-9)


# -- inputs ----------------------------------------------------------------------------


def driven(n=300, seed=0, product=0.0):
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((n, 2))
    X = np.zeros((n, 2))
    A, B = np.array([[0.8, 0.1], [-0.2, 0.7]]), np.array([[0.5, 0.0], [0.0, 0.3]])
    N = product * np.array([[0.0, 0.1], [0.2, 0.0]])
    for k in range(n - 1):
        X[k + 1] = X[k] @ A + u[k] @ B + u[k, 1] * (X[k] @ N)
    return X, u, A, B, N


def test_bilinear_inputs():
    X, u, A, B, N = driven(product=1.0)
    edmd = EDMD(DelayEmbedding(1), bilinear=True).fit(X, u=u)
    np.testing.assert_allclose(edmd.koopman_matrix_, A, atol=1e-12)
    np.testing.assert_allclose(edmd.input_matrix_, B, atol=1e-12)
    np.testing.assert_allclose(edmd.bilinear_matrix_, [0 * N, N], atol=1e-12)
    fresh, ahead, *_ = driven(60, seed=1, product=1.0)
    got = edmd.forecast(40, context=fresh[:20], u=ahead[19:59])
    np.testing.assert_allclose(got, fresh[20:], atol=1e-12)


def test_inputs_without_a_lift_are_dmdc():
    X, u, *_ = driven()
    edmd, dmdc = EDMD(DelayEmbedding(1)).fit(X, u=u), DMDc().fit(X, u=u)
    np.testing.assert_allclose(edmd.predict(9, u=u[:9]), dmdc.predict(9, u=u[:9]))
    got, want = edmd.spectrum_.residuals, dmdc.spectrum_.residuals
    np.testing.assert_allclose(got, want, atol=1e-7)


def test_lifted_inputs_drive_the_slow_manifold():
    rng = np.random.default_rng(0)
    u, X = rng.standard_normal((400, 1)), np.zeros((400, 2))
    for k in range(399):
        x, y = X[k]
        X[k + 1] = 0.9 * x, 0.5 * y + 0.3 * x**2 + u[k, 0]
    X[0] = 1.0
    for k in range(399):
        x, y = X[k]
        X[k + 1] = 0.9 * x, 0.5 * y + 0.3 * x**2 + u[k, 0]
    edmd = EDMD(FunctionLift([square])).fit(X[:300], u=u[:300])
    got = edmd.predict(99, u=u[299:398])
    np.testing.assert_allclose(got, X[300:399], atol=1e-9)


def test_bilinear_needs_inputs():
    with pytest.raises(ValueError, match="bilinear=True needs inputs, got none"):
        EDMD(bilinear=True).fit(slow_manifold())


# -- reduced rank ----------------------------------------------------------------------


def test_full_reduced_rank_is_least_squares():
    X = np.random.default_rng(0).standard_normal((200, 4)).cumsum(axis=0)
    full = EDMD(DelayEmbedding(1), regression="reduced_rank", rank=4).fit(X)
    np.testing.assert_allclose(full.predict(9), DMD().fit(X).predict(9), rtol=1e-8)


def test_reduced_rank_predicts_better_than_a_cut():
    # Large directions that are noise, small ones that evolve.
    rng = np.random.default_rng(0)
    t = 0.3 * np.arange(2000)
    X = np.column_stack([np.cos(t), np.sin(t), 10 * rng.standard_normal((2000, 3))])
    X[:, :2] *= 0.1
    scores = [
        EDMD(DelayEmbedding(1), regression=how, rank=2).fit(X[:1000]).score(X[1000:])
        for how in ("least_squares", "reduced_rank")
    ]
    assert scores[1] > 0.35 > scores[0] + 0.1  # two of five features at R² near 1
    model = EDMD(DelayEmbedding(1), regression="reduced_rank", rank=2).fit(X)
    assert model.rank_ == 2
    got = model.spectrum_.eigenvalues
    np.testing.assert_allclose(np.sort_complex(got), np.exp([-0.3j, 0.3j]), atol=1e-2)


# -- measure preserving ----------------------------------------------------------------


def test_rotations_are_unitary_anyway():
    # Whole turns, so that the data itself is what the rotation preserves.
    t = 2 * np.pi / 21 * np.arange(211)
    X = np.column_stack([np.cos(t), np.sin(t)])
    model, plain = MPEDMD(PolynomialLift(2)).fit(X), EDMD(PolynomialLift(2)).fit(X)
    got, want = model.spectrum_.frequencies, plain.spectrum_.frequencies
    np.testing.assert_allclose(np.sort(got), np.sort(want), atol=1e-10)
    np.testing.assert_allclose(model.predict(50), plain.predict(50), atol=1e-9)


def test_noise_makes_least_squares_decay_and_not_mpedmd():
    t = 0.3 * np.arange(1000)
    noise = 0.3 * np.random.default_rng(0).standard_normal((1000, 1))
    lift = DelayEmbedding(20)
    plain = EDMD(lift).fit(np.sin(t)[:, None] + noise).spectrum_
    model = MPEDMD(lift).fit(np.sin(t)[:, None] + noise)
    np.testing.assert_allclose(np.abs(model.spectrum_.eigenvalues), 1, atol=1e-12)
    assert np.abs(plain.eigenvalues).max() < 0.999
    size = np.abs(model.predict(5000)).max()
    assert 0.1 < size < 10


def test_spectral_measures():
    # x = 3 cos + sin of twice the phase, over whole turns: known atoms.
    t = 2 * np.pi / 40 * np.arange(404)  # 400 pairs of rows with delays
    X = (3 * np.cos(t) + np.sin(2 * t))[:, None]
    model = MPEDMD(DelayEmbedding(4), dt=0.5).fit(X)
    measure = model.spectral_measure()
    np.testing.assert_allclose(measure.frequencies, [-0.1, -0.05, 0.05, 0.1], atol=1e-9)
    np.testing.assert_allclose(measure.weights, [0.25, 2.25, 2.25, 0.25], atol=1e-9)
    coefficients = np.array([0.0, 1.0, 0.0, 0.0])  # the same wave, a row later
    later = model.spectral_measure(coefficients)
    np.testing.assert_allclose(later.weights, measure.weights, atol=1e-9)
    with pytest.raises(ValueError, match="column of the 1 features, got 3"):
        model.spectral_measure(3)
    with pytest.raises(ValueError, match="each of 4 lifted columns"):
        model.spectral_measure([1.0])


# -- residuals and pseudospectra -------------------------------------------------------


def test_gauss_map():
    # Colbrook, Ayton & Szoke, "Residual dynamic mode decomposition", J. Fluid Mech. 955
    # (2023), A21: the Gauss map with alpha 2 and beta -1 - exp(-2), 40 Legendre
    # functions on 100 Gauss-Legendre nodes.
    model = gauss_map_model()
    residuals = model.spectrum_.residuals
    assert (residuals < 1e-3).sum() == 14
    assert residuals.max() == pytest.approx(0.489, abs=5e-4)
    assert len(model.spectrum_.trusted(1e-3).eigenvalues) == 14
    tau = pseudospectrum(model, [1.2, -0.5, 0.5j, 1j, -1]).residuals
    want = [0.0406157, 0.0944910, 0.0306632, 0.1155206, 0.2328904]
    np.testing.assert_allclose(tau, want, atol=1e-6)


@pytest.mark.slow
def test_pendulum():
    # The pendulum of Colbrook & Townsend 2024: 964 products of waves of the angle and
    # Hermite functions of the velocity, orthonormal on the cylinder.
    order, n = 100, 160
    waves = np.arange(-order // 2, order // 2 + 1)
    kept = [
        (wave + order // 2, degree - 1)
        for wave in waves
        for degree in range(1, order + 1)
        if max(abs(wave), 1) * degree <= order
    ]
    assert len(kept) == 964
    first, second = np.array(kept).T

    def functions(rows):
        v = rows[:, 1]
        hermite = np.empty((len(v), order))
        hermite[:, 0] = np.exp(-(v**2) / 2) / np.pi**0.25
        hermite[:, 1] = np.sqrt(2) * v * hermite[:, 0]
        for j in range(2, order):
            hermite[:, j] = np.sqrt(2 / j) * v * hermite[:, j - 1]
            hermite[:, j] -= np.sqrt((j - 1) / j) * hermite[:, j - 2]
        phase = np.multiply.outer(rows[:, 0], waves)
        return (
            np.where(waves < 0, np.sin(phase), np.cos(phase))[:, first]
            * (hermite[:, second])
        )

    def velocity(x):
        return np.column_stack([x[:, 1], -np.sin(x[:, 0])])

    angle = -np.pi + 2 * np.pi * (np.arange(n) + 0.5) / n
    starts = np.stack(np.meshgrid(angle, np.linspace(-15, 15, n)), axis=-1)
    x = starts = starts.reshape(-1, 2)
    h = 0.5 / 100
    for _ in range(100):
        a = velocity(x)
        b = velocity(x + h / 2 * a)
        c = velocity(x + h / 2 * b)
        x = x + h / 6 * (a + 2 * b + 2 * c + velocity(x + h * c))
    model = EDMD(FunctionLift([functions], include_state=False))
    model.fit(np.stack([starts, x], axis=1))
    leading = [
        0.880347701848197 + 0.473226384533343j,
        0.558620606228836 + 0.826563250517901j,
        0.124674806328568 + 0.987209196182015j,
        -0.314745042094750 + 0.936136228237800j,
    ]
    tau = pseudospectrum(model, [z / abs(z) for z in leading]).residuals
    np.testing.assert_allclose(tau, [0.006425, 0.016841, 0.032536, 0.053738], rtol=4e-3)


def test_the_vectors_of_a_pseudospectrum_have_its_residuals():
    model = gauss_map_model()
    points = np.array([[0.3 + 0.1j, 1.0], [0.2j, -0.9]])
    found = pseudospectrum(model, points)
    assert found.residuals.shape == (2, 2)
    now, ahead = model._before, model._after
    for z, tau, g in zip(
        points.ravel(), found.residuals.ravel(), found.vectors.reshape(4, -1)
    ):
        size = np.linalg.norm(now @ g)
        assert size == pytest.approx(1.0)  # the weights sum to one
        assert np.linalg.norm(ahead @ g - z * (now @ g)) == pytest.approx(tau)
    # No function does better than the best.
    g = np.random.default_rng(0).standard_normal(40)
    other = np.linalg.norm(ahead @ g - 0.3 * (now @ g)) / np.linalg.norm(now @ g)
    assert other > pseudospectrum(model, 0.3).residuals


def test_the_spectrum_of_any_forecaster():
    A = np.array([[0.9, -0.1], [0.0, 0.8]])
    pairs = linear_pairs(A)
    spectrum = koopman_spectrum(DMD().fit(pairs), pairs, PolynomialLift(2), dt=0.5)
    want = np.sort([1, 0.9, 0.8, 0.81, 0.72, 0.64])
    np.testing.assert_allclose(np.sort(spectrum.eigenvalues.real), want, atol=1e-9)
    np.testing.assert_allclose(spectrum.residuals, 0, atol=1e-9)
    assert spectrum.dt == 0.5


def test_what_has_no_dictionary_is_refused():
    X = slow_manifold()
    with pytest.raises(TypeError, match="koopman_spectrum"):
        pseudospectrum(DMD().fit(X), [1.0])
    delayed = EDMD(DelayEmbedding(3)).fit(X)
    with pytest.raises(ValueError, match=r"needs 3 row\(s\) of the past"):
        koopman_spectrum(delayed, X)
    with pytest.raises(ValueError, match="got a horizon"):
        koopman_spectrum(DMD().fit(X), 5)


# -- in scikit-learn -------------------------------------------------------------------


def test_a_search_finds_the_degree():
    X = list(slow_manifold(12))
    search = GridSearchCV(
        EDMD(PolynomialLift()),
        {"lift__degree": [1, 2]},
        cv=KFold(3),
        scoring=forecast_scorer("nrmse", horizon=8, context=2),
    ).fit(X)
    assert search.best_params_ == {"lift__degree": 2}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), "one weight for each row"),
        (-np.ones(20), "at least 0"),
        (np.ones((20, 1)), "one dimension"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        EDMD().fit(slow_manifold()[0], weights=weights)


def test_weights_count_rows():
    X = np.random.default_rng(0).standard_normal((50, 2)).cumsum(axis=0)
    weights = np.ones(50)
    weights[10] = 2.0
    counted = EDMD(PolynomialLift(1)).fit(X, weights=weights)
    twice = EDMD(PolynomialLift(1)).fit([X, X[10:12]])
    got = counted.forecast(5, context=X)
    np.testing.assert_allclose(got, twice.forecast(5, context=X), rtol=1e-8)


def test_too_short_for_the_lift():
    X = slow_manifold()[0]
    with pytest.raises(ValueError, match="needed 6 rows in each trajectory, got 5"):
        EDMD(DelayEmbedding(5)).fit([X, X[:5]])
    with pytest.raises(ValueError, match="at least 5 are needed"):
        EDMD(DelayEmbedding(5)).fit([X, X[:4]])


def test_what_diverges_through_a_pipeline_of_lifts_is_nan():
    lift = make_pipeline(StandardScaler(), PolynomialLift(3))
    x = np.full((50, 1), 0.9)
    for k in range(49):
        x[k + 1] = x[k] - 0.1 * x[k] ** 3
    model = EDMD(lift, relift=True).fit(x)
    with pytest.warns(DivergenceWarning):
        rows = model.forecast(40, context=[[30.0]])
    assert np.isnan(rows[-1]).all()
    assert np.isfinite(rows[0]).all()


def test_a_lift_of_delays_is_refused_for_pairs():
    pairs = linear_pairs(0.5 * np.eye(2))
    with pytest.raises(ValueError, match="needs a lift of single rows"):
        koopman_spectrum(DMD().fit(pairs), pairs, DelayEmbedding(2))


def test_the_step_of_a_model_is_that_of_its_spectrum():
    pairs = linear_pairs(0.5 * np.eye(2))
    assert koopman_spectrum(DMD(dt=0.1).fit(pairs), pairs).dt == 0.1
