"""DMD against systems whose eigenvalues, modes and futures are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdyn.exceptions import DivergenceWarning
from skdyn.koopman import DMD

VARIANTS = [
    {},
    {"exact": False},
    {"total_least_squares": True},
    {"forward_backward": True},
    {"svd_solver": "full"},
]


def random_system(d, seed=0, radius=0.98):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((d, d))
    return A * radius / np.abs(np.linalg.eigvals(A)).max()


def orbit(A, x0, n):
    rows = [x0]
    for _ in range(n - 1):
        rows.append(rows[-1] @ A)
    return np.array(rows)


def eigenvalue_error(got, A):
    """Largest distance of a true eigenvalue to the nearest that was found."""
    return max(np.abs(got - v).min() for v in np.linalg.eigvals(A))


@pytest.mark.parametrize("params", VARIANTS)
def test_a_linear_system_is_recovered(params):
    A, rng = random_system(10), np.random.default_rng(1)
    one = orbit(A, rng.standard_normal(10), 201)
    many = [orbit(A, rng.standard_normal(10), 6) for _ in range(20)]
    for X in (one, many):
        dmd = DMD(**params).fit(X)
        assert eigenvalue_error(dmd.spectrum_.eigenvalues, A) < 1e-10
        assert dmd.rank_ == 10
        got = dmd.forecast(50, context=one)
        np.testing.assert_allclose(got, orbit(A, one[-1], 51)[1:], atol=1e-11)


def test_pairs_across_trajectories_would_show():
    A, rng = random_system(3), np.random.default_rng(1)
    many = [orbit(A, rng.standard_normal(3), 6) for _ in range(10)]
    stacked = DMD().fit(np.concatenate(many))
    assert eigenvalue_error(stacked.spectrum_.eigenvalues, A) > 1e-2
    assert eigenvalue_error(DMD().fit(many).spectrum_.eigenvalues, A) < 1e-12


def test_units_of_a_damped_sine():
    dt, rate, frequency = 0.05, -0.2, 1.5
    t = dt * np.arange(400)
    wave = np.exp(rate * t) * np.exp(2j * np.pi * frequency * t)
    X = np.column_stack([wave.real, wave.imag])
    spectrum = DMD(dt=dt).fit(X).spectrum_
    np.testing.assert_allclose(spectrum.growth_rates, rate, atol=1e-10)
    np.testing.assert_allclose(
        spectrum.frequencies, [frequency, -frequency], atol=1e-10
    )
    assert "2 modes" in repr(spectrum)


def test_complex_trajectories():
    t = np.arange(50)
    modes = np.array([[1, 1j, 0.5], [1j, 0.2, 1]])
    eigenvalues = np.array([0.97 * np.exp(0.4j), 0.9 * np.exp(-1.1j)])
    X = (eigenvalues[None] ** t[:, None]) @ modes
    dmd = DMD().fit(X[:40])
    np.testing.assert_allclose(dmd.spectrum_.eigenvalues, eigenvalues, atol=1e-12)
    np.testing.assert_allclose(dmd.predict(10), X[40:], atol=1e-12)
    assert dmd.predict(2).dtype == np.complex128
    assert DMD().fit(X.astype(np.complex64)).predict(2).dtype == np.complex64
    assert dmd.score(X) == pytest.approx(1.0)
    parts = DMD().partial_fit(X[:20]).partial_fit(X[20:])
    np.testing.assert_allclose(parts.forecast(10, context=X[:40]), X[40:], atol=1e-12)


@pytest.mark.parametrize("params", [{}, {"exact": False}, {"rank": 4}])
def test_the_spectrum_is_the_forecast(params):
    # x[k] = sum of amplitudes * eigenvalues^k * modes, for every trajectory, and for
    # the rows after the first (which exact DMD of cut rank does not hold itself).
    A, rng = random_system(6), np.random.default_rng(2)
    X = [orbit(A, rng.standard_normal(6), 30) for _ in range(3)]
    dmd = DMD(**params).fit(X)
    s = dmd.spectrum_
    powers = s.eigenvalues[None] ** np.arange(1, 20)[:, None]
    for i, x in enumerate(X):
        rows = (powers * s.amplitudes[i]) @ s.modes
        np.testing.assert_allclose(rows, dmd.reconstruct(x)[1:20], atol=1e-10)
        np.testing.assert_allclose(rows, dmd.forecast(19, context=x[:1]), atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(s.modes, axis=1), 1.0)
    assert (np.diff(np.abs(s.eigenvalues)) <= 1e-12).all()


def test_residuals_tell_true_from_spurious():
    # Two waves behind a delay embedding, cut to more rank than they have, with noise.
    rng = np.random.default_rng(0)
    t = np.arange(2000)
    clean = np.column_stack([np.cos(0.3 * t + p) for p in (0, 1)])
    X = np.hstack([clean, 1.0 * rng.standard_normal((2000, 3))])
    s = DMD().fit(X).spectrum_
    true = np.abs(s.eigenvalues) > 0.9
    assert true.sum() == 2
    assert s.residuals[true].max() < 1e-6
    assert s.residuals[~true].min() > 0.9


def test_a_residual_is_its_definition():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    s = DMD().fit(X).spectrum_
    A = np.linalg.lstsq(X[:-1], X[1:], rcond=None)[0]
    values, G = np.linalg.eig(A)
    for value, g in zip(values, G.T, strict=True):
        phi = X @ g
        want = np.linalg.norm(phi[1:] - value * phi[:-1]) / np.linalg.norm(phi[:-1])
        got = s.residuals[np.abs(s.eigenvalues - value).argmin()]
        assert got == pytest.approx(want, rel=1e-6)


def noisy_oscillator(noise, seed, n=500):
    t = np.arange(n)
    basis = np.linalg.qr(np.random.default_rng(7).standard_normal((20, 2)))[0].T
    wave = np.column_stack([np.cos(0.2 * t), np.sin(0.2 * t)]) @ basis
    rng = np.random.default_rng(seed)
    return wave + noise * rng.standard_normal((n, 20))


@pytest.mark.parametrize("cure", ["total_least_squares", "forward_backward"])
def test_cures_of_the_bias_that_noise_brings(cure):
    plain, cured = [], []
    for seed in range(5):
        X = noisy_oscillator(0.1, seed)
        for params, moduli in (({}, plain), ({cure: True}, cured)):
            s = DMD(rank=2, **params).fit(X).spectrum_
            moduli.append(1 - np.abs(s.eigenvalues).mean())
    assert np.mean(plain) > 0.01  # damped although the truth is not
    assert np.abs(np.mean(cured)) < 0.1 * np.mean(plain)


def test_forward_backward_stays_real_where_a_root_is_not():
    rng = np.random.default_rng(0)
    dmd = DMD(forward_backward=True).fit(rng.standard_normal((30, 5)))
    assert dmd.predict(3).dtype == np.float64
    assert np.isfinite(dmd.predict(3)).all()


def test_rank_choices():
    X = noisy_oscillator(0.05, 0)
    assert DMD(rank=3).fit(X).rank_ == 3
    assert DMD(rank="auto").fit(X).rank_ == 2
    assert DMD(rank=None).fit(X).rank_ == 20
    s = np.linalg.svd(X[:-1], compute_uv=False)
    share = np.cumsum(s**2) / np.sum(s**2)
    for energy in (0.5, 0.97, 0.999999):
        want = int((share < energy).sum()) + 1
        assert DMD(rank=energy).fit(X).rank_ == want


def test_rank_above_the_data_warns_and_says_what_is_used(waves):
    X = np.hstack([waves, 2 * waves])
    with pytest.warns(UserWarning, match="rank=2 is above the numerical rank 1"):
        dmd = DMD(rank=2).fit(X)
    assert dmd.rank_ == 1


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"rank": 0}, "rank"),
        ({"rank": -1}, "rank"),
        ({"rank": 1.5}, "rank"),
        ({"rank": "best"}, "rank"),
        ({"dt": 0}, "dt"),
        ({"svd_solver": "magic"}, "svd_solver"),
    ],
)
def test_bad_parameters_are_refused(params, word, rotation):
    with pytest.raises(ValueError, match=word):
        DMD(**params).fit(rotation)


@pytest.mark.parametrize("solver", ["auto", "randomized", "full"])
def test_wide_data_of_low_rank(solver):
    rng = np.random.default_rng(0)
    A = random_system(8, seed=3)
    basis = np.linalg.qr(rng.standard_normal((400, 8)))[0].T
    X = orbit(A, rng.standard_normal(8), 150) @ basis
    dmd = DMD(rank=8, svd_solver=solver).fit(X)
    assert eigenvalue_error(dmd.spectrum_.eigenvalues, A) < 1e-10
    again = DMD(rank=8, svd_solver=solver).fit(X)
    np.testing.assert_array_equal(again.predict(5), dmd.predict(5))


def test_auto_does_not_trust_a_sketch_of_a_flat_spectrum():
    X = np.random.default_rng(0).standard_normal((300, 500))
    auto, full = DMD(rank=5).fit(X), DMD(rank=5, svd_solver="full").fit(X)
    np.testing.assert_allclose(auto.predict(3), full.predict(3), atol=1e-12)
    sketch = DMD(rank=5, svd_solver="randomized").fit(X)
    assert np.abs(sketch.predict(1) - full.predict(1)).max() > 1e-6


def test_tall_and_wide_routes_agree():
    A, rng = random_system(6), np.random.default_rng(5)
    X = orbit(A, rng.standard_normal(6), 60) + 0.01 * rng.standard_normal((60, 6))
    tall = DMD().fit(X)  # through moments
    wide = DMD().fit(X[:13])  # rows themselves: no more than 2 d of them
    again = DMD().partial_fit(X[:13])
    np.testing.assert_allclose(wide.predict(5), again.predict(5), atol=1e-10)
    by_hand = np.linalg.lstsq(X[:-1], X[1:], rcond=None)[0]
    np.testing.assert_allclose(tall.predict(X), X @ by_hand, atol=1e-10)


def test_partial_fit_after_a_fit_without_moments_says_what_to_do():
    X = np.random.default_rng(0).standard_normal((10, 1025))
    with pytest.raises(ValueError, match="Start with partial_fit"):
        DMD().fit(X).partial_fit(X)
    X = X[:, :30]
    a, b = X[:5], X[5:]
    whole = DMD().fit([a, b]).forecast(3, context=X)
    for parts in (DMD().partial_fit(a), DMD().fit(a)):
        parts.partial_fit(b)
        np.testing.assert_allclose(parts.forecast(3, context=X), whole, atol=1e-9)
    with pytest.raises(ValueError, match="features"):
        parts.partial_fit(X[:, :4])


def test_divergence_is_said_once_and_leaves_nan():
    grow = np.array([[1.0], [10.0], [100.0]])
    quiet = np.zeros((3, 1))
    dmd = DMD().fit([grow, quiet])
    with pytest.warns(DivergenceWarning, match=r"step 307, for 1 of 2 start\(s\)") as w:
        got = dmd.forecast(400, context=[grow, quiet])
    assert len(w) == 1
    assert np.isfinite(got[0][:306]).all()
    assert np.isnan(got[0][306:]).all()
    np.testing.assert_array_equal(got[1], 0.0)


def test_overflow_of_a_power_does_not_spoil_another_start():
    # K^64 overflows; a start without the unstable direction must not become NaN.
    X = [np.array([[1.0, 0], [1e6, 0], [1e12, 0]]), np.array([[0, 1.0], [0, 0.5]])]
    got = DMD().fit(X).forecast(100, context=np.array([[0.0, 1.0]]))
    np.testing.assert_allclose(got[:, 1], 0.5 ** np.arange(1, 101), atol=1e-15)


def test_zero_and_constant_data():
    assert (DMD().fit(np.zeros((10, 3))).predict(4) == 0).all()
    np.testing.assert_allclose(DMD().fit(np.ones((10, 3))).predict(4), 1.0)


def test_reconstruct_forms(rotation):
    dmd = DMD().fit(rotation)
    np.testing.assert_allclose(dmd.reconstruct(rotation), rotation, atol=1e-12)
    got = dmd.reconstruct([rotation[:5], rotation[10:30], rotation[:1]])
    assert [len(rows) for rows in got] == [5, 20, 1]
    np.testing.assert_allclose(got[1], rotation[10:30], atol=1e-12)


@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 5))
def test_a_prefix_is_a_prefix_to_the_last_bits(n, more, batch):
    A = random_system(4, seed=1, radius=1.0)
    rng = np.random.default_rng(n)
    X = orbit(A, rng.standard_normal(4), 30)
    contexts = rng.standard_normal((batch, 1, 4))
    dmd = DMD().fit(X)
    short, long = (dmd.forecast(k, context=contexts) for k in (n, n + more))
    np.testing.assert_allclose(short, long[:, :n], rtol=0, atol=1e-12)


def test_big_batches_and_single_starts_agree():
    A = random_system(5)
    X = orbit(A, np.ones(5), 40)
    dmd = DMD().fit(X)
    contexts = np.random.default_rng(0).standard_normal((300, 1, 5))
    got = dmd.forecast(130, context=contexts)
    for i in (0, 7, 299):
        want = orbit(A, contexts[i, 0], 131)[1:]
        np.testing.assert_allclose(got[i], want, atol=1e-11)


def test_single_precision_is_not_taken_for_signal():
    # Two waves in a hundred features, stored in float32: rank 2, by every route.
    rng = np.random.default_rng(0)
    t = np.arange(2000)
    basis = np.linalg.qr(rng.standard_normal((100, 2)))[0].T
    X = (np.column_stack([np.cos(0.1 * t), np.sin(0.1 * t)]) @ basis).astype(np.float32)
    assert DMD().fit(X).rank_ == 2
    assert DMD().fit(X[:60]).rank_ == 2
    assert DMD().partial_fit(X[:60]).partial_fit(X[60:]).rank_ == 2
    assert DMD(rank=0.999).fit(1e25 * X[:60]).rank_ == 2


def test_a_sketch_of_complex_data():
    rng = np.random.default_rng(0)
    eigenvalues = 0.99 * np.exp(1j * np.linspace(0.1, 2, 4))
    modes = np.linalg.qr(
        rng.standard_normal((4, 300)).T + 1j * rng.standard_normal((300, 4))
    )
    X = (eigenvalues[None] ** np.arange(200)[:, None]) @ modes[0].T
    got = DMD(rank=4).fit(X).spectrum_.eigenvalues
    for value in eigenvalues:
        assert np.abs(got - value).min() < 1e-10


def test_forward_backward_refuses_what_cannot_be_inverted():
    for X in (np.zeros((10, 2)), [[1.0, 0], [0, 1], [0, 0], [0, 0]]):
        with pytest.raises(ValueError, match=r"invertible.*got [01]"):
            DMD(forward_backward=True).fit(X)


def test_defective_systems_have_a_finite_spectrum():
    K = np.array([[0.9, 1.0], [0.0, 0.9]])
    X = orbit(K, np.array([1.0, 0.3]), 30)
    spectrum = DMD().fit(X).spectrum_
    np.testing.assert_allclose(spectrum.eigenvalues, 0.9, atol=1e-6)
    shift = orbit(np.eye(3, k=1), np.array([1.0, 0, 0]), 6)
    for values in (spectrum.modes, DMD().fit(shift).spectrum_.modes):
        assert np.isfinite(values).all()


def test_the_spectrum_is_of_the_parameters_of_the_fit(rotation):
    dmd = DMD(dt=0.5).fit(rotation)
    dmd.set_params(dt=2.0, exact=False)
    assert dmd.spectrum_.dt == 0.5


def test_reconstruct_says_where_it_diverges():
    X = 10.0 ** np.arange(10)[:, None]
    with pytest.warns(DivergenceWarning):
        rows = DMD().fit(X).reconstruct(np.ones((400, 1)))
    assert np.isfinite(rows[:300]).all()
    assert np.isnan(rows[310:]).all()
