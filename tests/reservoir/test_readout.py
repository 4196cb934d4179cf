"""Ridge regression from accumulated Gram matrices."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from skdyn.reservoir._readout import Gram, GramSum, Layout, sum_of


def rows_of(n=400, p=12, q=2, seed=0):
    """Rows [z y] whose last feature is 1."""
    rng = np.random.default_rng(seed)
    Z = np.tanh(rng.standard_normal((n, p)) @ rng.standard_normal((p, p)))
    Z[:, -1] = 1.0
    Y = 3 + Z @ rng.standard_normal((p, q)) + 0.1 * rng.standard_normal((n, q))
    return np.hstack([Z, Y])


def gram_of(rows, q=2, sizes=()):
    total = GramSum(rows.shape[1] - q, q)
    for part in np.split(rows, np.cumsum(sizes)):
        total.add(part)
    return total.total()


def full(gram):
    lower = np.tril(gram.moments)
    return lower + np.tril(lower, -1).T


def test_blockwise_is_one_shot():
    rows = rows_of()
    whole = gram_of(rows)
    np.testing.assert_allclose(full(whole), rows.T @ rows, rtol=1e-12)
    blocks = gram_of(rows, sizes=(1, 7, 0, 300))
    assert blocks.n_rows == whole.n_rows == 400
    np.testing.assert_allclose(full(blocks), full(whole), rtol=1e-12)
    np.testing.assert_allclose(blocks.solve(1e-6), whole.solve(1e-6), atol=1e-8)


def test_folds_add_up_and_are_left_out():
    rows = rows_of()
    folds = [gram_of(part) for part in np.array_split(rows, 4)]
    np.testing.assert_allclose(full(sum_of(folds)), rows.T @ rows, rtol=1e-12)
    rest = sum_of(folds) - folds[1]
    assert rest.n_rows == 300
    want = gram_of(np.delete(rows, np.s_[100:200], axis=0))
    np.testing.assert_allclose(rest.solve(1e-3), want.solve(1e-3), rtol=1e-8)


@pytest.mark.parametrize("alpha", [1e-6, 0.1, 10.0])
def test_penalty_is_per_row_and_spares_the_constant(alpha):
    rows = rows_of()
    ridge = Ridge(alpha=alpha * len(rows)).fit(rows[:, :11], rows[:, 12:])
    coef = gram_of(rows).solve(alpha)
    np.testing.assert_allclose(coef[:-1], ridge.coef_.T, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(coef[-1], ridge.intercept_, rtol=1e-7)
    # More of the same data is the same problem.
    twice = gram_of(np.vstack([rows, rows])).solve(alpha)
    np.testing.assert_allclose(twice, coef, rtol=1e-9)


def test_single_precision_rows_are_summed_in_double():
    rows = rows_of().astype(np.float32)
    exact = rows.astype(np.float64)
    np.testing.assert_allclose(full(gram_of(rows)), exact.T @ exact, rtol=1e-13)


def test_without_penalty_dependent_columns_are_solved():
    rows = rows_of()
    rows[:, 3] = rows[:, 4]
    rows[:, 5] = 0.0
    gram = gram_of(rows)
    coef = gram.solve(0.0)
    best = np.linalg.lstsq(rows[:, :12], rows[:, 12:], rcond=None)[0]
    np.testing.assert_allclose(
        rows[:, :12] @ coef, rows[:, :12] @ best, rtol=1e-6, atol=1e-6
    )
    assert np.isfinite(coef).all()


def test_a_shift_changes_no_coefficient_and_keeps_digits():
    rows = rows_of()
    total = GramSum(12, 2, shift=np.linspace(-1, 1, 11))
    total.add(rows)
    np.testing.assert_allclose(
        total.total().solve(1e-3), gram_of(rows).solve(1e-3), rtol=1e-9
    )
    # Far from zero, moments lose the digits that matter, unless they are shifted.
    rows[:, :11] += 1e5
    far = GramSum(12, 2, shift=np.full(11, 1e5))
    far.add(rows)
    want = Ridge(alpha=1e-3 * len(rows)).fit(rows[:, :11], rows[:, 12:]).coef_.T
    np.testing.assert_allclose(far.total().solve(1e-3)[:-1], want, rtol=1e-6)


def test_solving_leaves_the_moments_alone():
    gram = gram_of(rows_of())
    before = gram.moments.copy()
    gram.solve(1e-3)
    np.testing.assert_array_equal(gram.moments, before)
    assert isinstance(gram + gram, Gram)


def test_layout_of_features():
    rows = np.full((2, 12), np.nan)
    rows[:, :5] = [[1.0, 2, 3, 4, 5], [-1, -2, -3, -4, -5]]
    layout = Layout(5, n_direct=2, quadratic=True)
    features = layout.fill(rows, np.array([[7.0, 8], [9, 10]]))
    want = [[1, 2, 3, 4, 5, 4, 16, 7, 8, 1], [-1, -2, -3, -4, -5, 4, 16, 9, 10, 1]]
    np.testing.assert_array_equal(features, want)
    assert layout.n_features == 10
    assert Layout(5).n_features == 6
