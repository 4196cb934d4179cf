"""Delay embedding by its definition, and its two ways back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdyn.preprocessing import DelayEmbedding


@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 30),
    st.booleans(),
)
def test_blocks_are_delayed_rows_and_come_back(n_delays, delay, d, more, is_complex):
    lead = (n_delays - 1) * delay
    n = lead + delay + more
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, d)) + (
        1j * rng.standard_normal((n, d)) if is_complex else 0
    )
    embedding = DelayEmbedding(n_delays, delay=delay).fit(X)
    assert embedding.min_context_ == 1 + lead
    Z = embedding.transform(X)
    assert Z.shape == (n - lead, n_delays * d)
    for j in range(n_delays):
        block = Z[:, j * d : (j + 1) * d]
        np.testing.assert_array_equal(block, X[lead - j * delay : n - j * delay])
    np.testing.assert_array_equal(embedding.inverse_transform(Z), X[lead:])
    np.testing.assert_array_equal(embedding.unembed(Z), X)
    np.testing.assert_array_equal(embedding.unembed([Z, Z])[1], X)
    np.testing.assert_array_equal(embedding.unembed(Z[None])[0], X)


def test_one_block_is_the_identity():
    X = np.random.default_rng(0).standard_normal((5, 2))
    np.testing.assert_array_equal(DelayEmbedding(1, delay=7).fit_transform(X), X)


def test_names():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.ones((9, 2)), columns=["a", "b"])
    embedding = DelayEmbedding(3, delay=2).fit(frame)
    want = ["a", "b", "a_lag2", "b_lag2", "a_lag4", "b_lag4"]
    assert list(embedding.get_feature_names_out()) == want
    plain = DelayEmbedding(2).fit(np.ones((5, 1)))
    assert list(plain.get_feature_names_out()) == ["x0", "x0_lag1"]
    assert list(plain.get_feature_names_out(["p"])) == ["p", "p_lag1"]


def test_short_data_says_needed_got_do():
    with pytest.raises(ValueError, match=r"4 sample.*at least 5.*lower n_delays"):
        DelayEmbedding(5).fit(np.ones((4, 1)))
    embedding = DelayEmbedding(5).fit(np.ones((9, 1)))
    with pytest.raises(ValueError, match=r"X\[1\] has 3 sample.*at least 5"):
        embedding.transform([np.ones((9, 1)), np.ones((3, 1))])
    with pytest.raises(ValueError, match="leave holes"):
        DelayEmbedding(2, delay=3).fit(np.ones((9, 1))).unembed(np.ones((2, 2)))
    with pytest.raises(ValueError, match="needs the 5 columns"):
        embedding.unembed(np.ones((4, 3)))


@pytest.mark.parametrize("params", [{"n_delays": 0}, {"delay": 0}, {"n_delays": 2.0}])
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        DelayEmbedding(**params).fit(np.ones((9, 1)))
