"""Context parroting against a literal copy of its algorithm."""

import numpy as np
import pytest

from skdyn.baselines import ContextParroting
from skdyn.baselines._parroting import _nearest

BOTH = pytest.mark.parametrize("search", ["training", "context"])


def parrot(X, D, n_steps, k=1):
    """The algorithm of the paper, one window and one row at a time."""
    n = len(X)
    matches = []
    for s in range(D, n - D + 1):
        # Rows s - D to s - 1, which end before the last D rows begin.
        distance = sum(((X[s - 1 - j] - X[n - 1 - j]) ** 2).sum() for j in range(D))
        matches.append((distance, -s))
    starts = [-s for _, s in sorted(matches)[:k]]
    copies = []
    for s in starts:
        at, rows = s, []
        for _ in range(n_steps):
            rows.append(X[at])
            at = at + 1 if at + 1 < n else starts[0]
        copies.append(rows)
    return np.mean(copies, axis=0)


@BOTH
@pytest.mark.parametrize(("D", "k"), [(1, 1), (4, 1), (7, 3), (20, 2)])
def test_it_is_its_algorithm(D, k, search):
    rng = np.random.default_rng(D)
    for X in (
        rng.standard_normal((90, 2)).cumsum(axis=0),
        rng.integers(0, 2, (90, 1)).astype(float),  # many windows equally near
    ):
        model = ContextParroting(D, n_neighbors=k, search=search).fit(X)
        np.testing.assert_allclose(model.predict(200), parrot(X, D, 200, k))


@BOTH
@pytest.mark.parametrize("period", [1, 3, 11, 17])
def test_a_periodic_signal_is_continued_exactly(period, search):
    profile = np.random.default_rng(period).standard_normal((period, 2))
    X = np.tile(profile, (60, 1))
    model = ContextParroting(search=search).fit(X[:50])
    assert model.window_ == 10
    n = 40 * period  # far beyond the data
    want = X[50 % period :][:n]
    np.testing.assert_array_equal(model.predict(n), want)
    averaged = ContextParroting(2, n_neighbors=2, search=search).fit(X[:50])
    np.testing.assert_allclose(averaged.predict(n), want, rtol=1e-14)


def test_of_equals_the_latest():
    X = np.array([0, 1, 5, 0, 1, 6, 0, 1, 7, 8, 0, 1.0])[:, None]
    assert ContextParroting(2).fit(X).predict(1) == 7
    both = ContextParroting(2, n_neighbors=2).fit(X)
    np.testing.assert_allclose(both.predict(1), 6.5)


def test_windows_do_not_cross_trajectories():
    # The window (1, 2) stands only where two trajectories meet.
    a = np.array([7, 8, 7, 8, 7, 8, 1.0])[:, None]
    b = np.array([2, 3, 9, 9, 9, 9, 1, 2.1])[:, None]
    model = ContextParroting(2).fit([a, b])
    got = model.forecast(1, context=[[1.0], [2.0]])
    glued = ContextParroting(2).fit(np.concatenate([a, b]))
    assert glued.forecast(1, context=[[1.0], [2.0]]) == 3
    assert got != 3


def test_a_copy_that_ends_goes_on_after_the_nearest_match_anywhere():
    a = np.array([0, 1, 2, 3, 4, 5.0])[:, None]
    b = np.array([9, 9, 4, 5.1, 6, 7, 8, 9.0])[:, None]
    # From (0, 1) to the end of a, (4, 5), then after (4, 5.1) in b, then b's end
    # (8, 9), to which (9, 9) at its beginning is nearest.
    got = ContextParroting(2).fit([a, b]).forecast(11, context=[[0.0], [1.0]])
    want = [2, 3, 4, 5, 6, 7, 8, 9, 4, 5.1, 6]
    np.testing.assert_allclose(got[:, 0], want)


def test_searching_contexts_is_fitting_each():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2)).cumsum(axis=0)
    contexts = [X[i : i + n] for i, n in ((0, 60), (5, 9), (100, 200), (30, 60))]
    model = ContextParroting(4, n_neighbors=2, search="context").fit(X)
    assert model.min_context_ == 9
    for got, context in zip(model.forecast(70, context=contexts), contexts):
        alone = ContextParroting(4, n_neighbors=2).fit(context)
        np.testing.assert_allclose(got, alone.predict(70))
    # What was fitted on is not searched.
    other = ContextParroting(4, n_neighbors=2, search="context").fit(1e3 * X[::-1])
    np.testing.assert_array_equal(
        other.forecast(70, context=contexts[2]), model.forecast(70, context=contexts[2])
    )


def test_one_step_searches_only_what_came_before():
    X = np.random.default_rng(0).standard_normal((150, 1)).cumsum(axis=0)
    model = ContextParroting(3, search="context").fit(X[:40])
    got = model.predict(X)
    assert len(got) == 150 - 6 + 1
    for end in (6, 7, 50, 71, 150):
        want = ContextParroting(3).fit(X[:end]).predict(1)
        np.testing.assert_array_equal(got[end - 6], want[0])
    np.testing.assert_array_equal(model.predict(X[None])[0], got)


def test_steps_are_the_rollout():
    X = np.random.default_rng(0).standard_normal((60, 2)).cumsum(axis=0)
    for search in ("training", "context"):
        model = ContextParroting(3, n_neighbors=2, search=search).fit([X, X[:30]])
        states = model._begin_all(model.context_.pieces, None)
        steps = super(ContextParroting, model)._rollout(states, 90, None)
        np.testing.assert_allclose(model.predict(90), steps)


def test_the_training_data_is_remembered():
    X = np.random.default_rng(0).standard_normal((100, 1))
    model = ContextParroting(5).fit(X)
    # All but the last windows are found again, at no distance.
    np.testing.assert_array_equal(model.predict(X)[:-10], X[5:-9])
    X[:] = 0.0
    assert (model.predict(50) != 0).all()


@pytest.mark.parametrize("k", [1, 3])
def test_trees_and_tables_agree(k):
    rng = np.random.default_rng(0)
    for candidates in (rng.standard_normal((200, 6)), rng.integers(0, 3, (200, 3))):
        candidates = candidates.astype(float)
        queries = np.concatenate([candidates[:40], candidates[:40] + 0.1])
        many = _nearest(candidates, queries, k)
        few = np.concatenate([_nearest(candidates, q[None], k) for q in queries])
        np.testing.assert_array_equal(many, few)
        distances = ((queries[:, None] - candidates) ** 2).sum(axis=2)
        # Nearest first, and of equally near ones the latest.
        order = np.lexsort((-np.arange(200)[None] + 0 * distances, distances))
        np.testing.assert_array_equal(many, order[:, :k])


def test_auto_is_capped_by_the_data():
    X = np.random.default_rng(0).standard_normal((100, 1))
    assert ContextParroting().fit(X).window_ == 10
    assert ContextParroting().fit(X[:24]).window_ == 6
    assert ContextParroting().fit([X, X[:3]]).window_ == 3
    assert ContextParroting(search="context").fit([X, X[:8]]).window_ == 2
    assert ContextParroting().fit(X[:2]).predict(2).tolist() == [X[1], X[1]]


def test_too_little_is_refused():
    X = np.arange(9.0)[:, None]
    with pytest.raises(ValueError, match=r"at least 1 window.* 5 rows.*got 0"):
        ContextParroting(5).fit(X)
    with pytest.raises(ValueError, match=r"at least 4 window.*got 2.*11 rows"):
        ContextParroting(4, n_neighbors=4).fit(X)
    with pytest.raises(ValueError, match=r"9 sample\(s\).*at least 10"):
        ContextParroting(5, search="context").fit(X)
    with pytest.raises(ValueError, match=r"3 sample\(s\).*at least 4"):
        ContextParroting(4).fit(X).forecast(2, context=X[:3])
