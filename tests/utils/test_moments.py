"""Moments: additive, and as accurate as the data allows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdyn.utils._moments import GRAM_LIMIT, Moments


def problem(n=200, p=5, q=2, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, p))
    B = rng.standard_normal((p, q))
    return Z, Z @ B + noise * rng.standard_normal((n, q)), B


def vandermonde(n=400, p=12):
    x = np.linspace(0, 1, n)
    return np.vander(x, p, increasing=True)


@pytest.mark.parametrize("method", ["auto", "gram", "qr"])
def test_least_squares_is_numpys(method):
    Z, Y, _ = problem()
    moments = Moments.from_rows(Z, Y, method=method)
    want, rest, *_ = np.linalg.lstsq(Z, Y, rcond=None)
    np.testing.assert_allclose(moments.solve(), want, atol=1e-12)
    np.testing.assert_allclose(moments.residual(want), rest, rtol=1e-8)
    assert moments.condition() == pytest.approx(
        np.linalg.cond(Z / np.linalg.norm(Z, axis=0)), rel=1e-8
    )


def test_auto_takes_the_gram_only_where_it_is_sound():
    Z, Y, _ = problem()
    assert Moments.from_rows(Z, Y).gram is not None
    assert Moments.from_rows(vandermonde(), np.ones((400, 1))).gram is None
    # Units do not matter: columns are equilibrated before their condition is judged.
    assert Moments.from_rows(Z * 10.0 ** np.arange(-8, 7, 3), Y).gram is not None


def test_ill_conditioned_problems_keep_their_digits():
    Z, B = vandermonde(), np.ones((12, 1))
    Y = Z @ B
    error = {
        method: np.abs(Moments.from_rows(Z, Y, method=method).solve() - B).max()
        for method in ("auto", "gram")
    }
    assert 1e3 * error["auto"] < error["gram"]
    assert np.linalg.cond(Z) ** 2 > GRAM_LIMIT


def test_dependent_columns_give_the_least_norm():
    Z, Y, _ = problem()
    Z = np.hstack([Z, Z[:, :1]])
    want = np.linalg.lstsq(Z, Y, rcond=None)[0]
    np.testing.assert_allclose(Moments.from_rows(Z, Y).solve(), want, atol=1e-10)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from(["gram", "qr", "auto"]),
    st.sampled_from(["gram", "qr", "auto"]),
)
def test_moments_add(n, m, one, other):
    Z, Y, _ = problem(n + m, p=4)
    a = Moments.from_rows(Z[:n], Y[:n], method=one)
    b = Moments.from_rows(Z[n:], Y[n:], method=other)
    F = (a + b).as_factor() if n + m > 8 else None
    joint = np.hstack([Z, Y])
    if F is not None:
        np.testing.assert_allclose(F.T @ F, joint.T @ joint, atol=1e-8)
    assert (a + b).n_rows == n + m
    assert (a + b).weight == n + m


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_moments_subtract_and_scale(method):
    Z, Y, _ = problem(300)
    whole, part, rest = (
        Moments.from_rows(Z[s], Y[s], method=method)
        for s in (slice(None), slice(100), slice(100, None))
    )
    left = whole - part
    np.testing.assert_allclose(left.solve(), rest.solve(), atol=1e-11)
    assert left.n_rows == 200
    np.testing.assert_allclose(
        (part + part).solve(3.0), part.scaled(2.0).solve(3.0), atol=1e-12
    )
    assert part.scaled(2.0).weight == 200


def test_subtracting_all_that_determines_is_refused():
    Z, Y, _ = problem(50, p=5)
    whole = Moments.from_rows(Z, Y, method="qr")
    with pytest.raises(ValueError, match="leave_one_out"):
        whole - Moments.from_rows(Z[:48], Y[:48], method="qr")


@pytest.mark.parametrize("method", ["gram", "qr"])
@pytest.mark.parametrize("k", [2, 3, 7])
def test_leave_one_out_is_a_fit_on_the_others(method, k):
    Z, Y, _ = problem(210)
    folds = np.array_split(np.arange(210), k)
    blocks = [Moments.from_rows(Z[f], Y[f], method=method) for f in folds]
    for fold, moments in zip(folds, Moments.leave_one_out(blocks), strict=True):
        kept = np.setdiff1d(np.arange(210), fold)
        want = np.linalg.lstsq(Z[kept], Y[kept], rcond=None)[0]
        np.testing.assert_allclose(moments.solve(), want, atol=1e-11)
        assert moments.n_rows == len(kept)
    np.testing.assert_allclose(
        Moments.sum(blocks).solve(), np.linalg.lstsq(Z, Y, rcond=None)[0], atol=1e-11
    )
    with pytest.raises(ValueError, match="at least 2"):
        Moments.leave_one_out(blocks[:1])


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_ridge_path_is_ridge(method):
    Z, Y, _ = problem()
    moments = Moments.from_rows(Z, Y, method=method)
    alphas = [0.0, 1e-3, 1.0, 100.0]
    path = moments.ridge_path(alphas)
    for alpha, B in zip(alphas, path, strict=True):
        want = np.linalg.solve(Z.T @ Z + alpha * np.eye(5), Z.T @ Y)
        np.testing.assert_allclose(B, want, atol=1e-12)
        np.testing.assert_allclose(moments.solve(alpha), want, atol=1e-12)
    with pytest.raises(ValueError, match="at least 0"):
        moments.solve(-1.0)


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_weights_are_repetitions(method):
    Z, Y, _ = problem(40)
    times = np.random.default_rng(0).integers(0, 4, 40)
    weighted = Moments.from_rows(Z, Y, weight=times.astype(float), method=method)
    repeated = Moments.from_rows(
        np.repeat(Z, times, axis=0), np.repeat(Y, times, axis=0), method=method
    )
    np.testing.assert_allclose(weighted.solve(0.5), repeated.solve(0.5), atol=1e-12)
    assert weighted.weight == times.sum()


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_complex_rows(method):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((80, 4)) + 1j * rng.standard_normal((80, 4))
    Y = rng.standard_normal((80, 3)) + 1j * rng.standard_normal((80, 3))
    moments = Moments.from_rows(Z, Y, method=method)
    want = np.linalg.lstsq(Z, Y, rcond=None)[0]
    np.testing.assert_allclose(moments.solve(), want, atol=1e-12)
    F, J = moments.as_factor(), np.hstack([Z, Y])
    np.testing.assert_allclose(F.conj().T @ F, J.conj().T @ J, atol=1e-9)


def test_float32_rows_are_accumulated_in_double():
    Z, Y, _ = problem(100_000, noise=0.0)
    single = Moments.from_rows((Z + 100).astype(np.float32), Y.astype(np.float32))
    assert (
        single.gram if single.gram is not None else single.factor
    ).dtype == np.float64
    exact = Moments.from_rows(
        (Z + 100).astype(np.float32).astype(float), Y.astype(np.float32).astype(float)
    )
    # Rounding of another order of sums, at a condition number of 200; sums in single
    # precision would be off by more than 1e-3.
    np.testing.assert_allclose(single.solve(), exact.solve(), atol=1e-9)


def test_many_chunks_are_one():
    Z, Y, _ = problem(200_001, p=3)
    want = np.linalg.lstsq(Z, Y, rcond=None)[0]
    for method in ("gram", "qr"):
        got = Moments.from_rows(Z, Y, method=method).solve()
        np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_pairs_of_one_trajectory_share_their_moments(decay):
    # Rows and successors in one memory: the second Gram follows from the first, also
    # where the first row is nearly all there is.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3)) * (decay ** np.arange(60))[:, None]
    one = Moments.from_rows(X[:-1], X[1:], method="gram")
    other = Moments.from_rows(X[:-1].copy(), X[1:].copy(), method="gram")
    scale = np.sqrt(np.outer(np.diagonal(other.gram), np.diagonal(other.gram)))
    np.testing.assert_allclose(one.gram / scale, other.gram / scale, atol=1e-14)
    # A view that looks alike but is no successor: every second row.
    skip = Moments.from_rows(X[:-2:2], X[2::2], method="gram")
    copy = Moments.from_rows(X[:-2:2].copy(), X[2::2].copy(), method="gram")
    np.testing.assert_allclose(skip.gram, copy.gram, atol=1e-12)
    back = Moments.from_rows(X[1:], X[:-1], method="gram")
    np.testing.assert_allclose(back.gram[3:, 3:], X[:-1].T @ X[:-1], atol=1e-12)


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_units_do_not_decide_what_is_solved(method):
    rng = np.random.default_rng(0)
    scale = np.array([1e9, 1.0, 1e-3])
    Z = rng.standard_normal((200, 3)) * scale
    B = 1.0 / scale[:, None]
    moments = Moments.from_rows(Z, Z @ B, method=method)
    for alpha in (0.0, 1e-12):
        np.testing.assert_allclose(moments.solve(alpha) / B, 1.0, rtol=1e-8)


def test_a_gram_refuses_to_be_subtracted_down_to_nothing():
    Z, Y, _ = problem(200, p=3)
    whole = Moments.from_rows(Z, Y, method="gram")
    with pytest.raises(ValueError, match="leave_one_out"):
        whole - Moments.from_rows(Z[:198], Y[:198], method="gram")
    Z[:100] *= 1e9
    whole = Moments.from_rows(Z, Y, method="gram")
    with pytest.raises(ValueError, match="leave_one_out"):
        whole - Moments.from_rows(Z[:100], Y[:100], method="gram")


def test_negative_weights_are_refused():
    Z, Y, _ = problem(20)
    with pytest.raises(ValueError, match="at least 0"):
        Moments.from_rows(Z, Y, weight=-np.ones(20))
