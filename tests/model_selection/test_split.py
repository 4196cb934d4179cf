"""Rolling origins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdyn.model_selection import RollingOriginSplit


@given(
    st.integers(1, 6),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 9),
    st.data(),
)
def test_folds_by_their_definition(n_splits, horizon, context, gap, data):
    least = max(context, gap + 2) + n_splits * horizon
    n = data.draw(st.integers(least, least + 40))
    size = data.draw(st.none() | st.integers(1, 30))
    cv = RollingOriginSplit(
        n_splits, horizon=horizon, context=context, gap=gap, max_train_size=size
    )
    folds = list(cv.split(np.zeros((n, 1))))
    assert len(folds) == cv.get_n_splits() == n_splits
    scored = np.concatenate([test[context:] for _, test in folds])
    np.testing.assert_array_equal(scored, np.arange(n - n_splits * horizon, n))
    for train, test in folds:
        assert len(test) == context + horizon
        np.testing.assert_array_equal(np.diff(test), 1)
        assert train[-1] == test[context] - gap - 1
        assert train[0] == (0 if size is None else max(0, train[-1] + 1 - size))


def test_lists_are_refused_with_the_remedy():
    for X in ([np.ones((9, 1))] * 3, np.ones((3, 9, 1))):
        with pytest.raises(ValueError, match="KFold"):
            list(RollingOriginSplit(2).split(X))


def test_short_data_and_bad_parameters():
    with pytest.raises(ValueError, match="at least 13 rows, got 12"):
        list(RollingOriginSplit(2, horizon=4, context=5).split(np.ones((12, 1))))
    for params in ({"horizon": 0}, {"context": 0}, {"gap": -1}, {"max_train_size": 0}):
        with pytest.raises(ValueError, match=next(iter(params))):
            RollingOriginSplit(**params)
    with pytest.raises(ValueError, match="n_splits"):
        RollingOriginSplit(True)
    assert "horizon=3" in repr(RollingOriginSplit(horizon=3))


def test_frames_and_nested_lists_are_split():
    pd = pytest.importorskip("pandas")
    cv = RollingOriginSplit(2, horizon=2)
    want = [test.tolist() for _, test in cv.split(np.ones((9, 1)))]
    for X in (pd.DataFrame(np.ones((9, 1))), [[1.0]] * 9):
        assert [test.tolist() for _, test in cv.split(X)] == want
