"""Row-wise transformers on trajectories."""

import numpy as np
import pytest
from sklearn import pipeline as stock
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from skdyn.koopman import DMD
from skdyn.preprocessing import DelayEmbedding, RowWise


def test_fit_is_on_all_rows_together():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((20, 2)), 5 + rng.standard_normal((30, 2))]
    rows = RowWise(StandardScaler()).fit(X)
    np.testing.assert_allclose(rows.transformer_.mean_, np.concatenate(X).mean(axis=0))
    want = StandardScaler().fit(np.concatenate(X)).transform(X[1])
    np.testing.assert_allclose(rows.transform(X)[1], want)
    np.testing.assert_allclose(rows.inverse_transform(rows.transform(X))[0], X[0])


def test_the_transformer_is_cloned():
    scaler = StandardScaler()
    RowWise(scaler).fit(np.ones((5, 2)))
    assert not hasattr(scaler, "mean_")


def test_nan_rows_pass_the_inverse():
    rng = np.random.default_rng(0)
    rows = RowWise(PCA()).fit(rng.standard_normal((20, 3)))
    Z = rows.transform(rng.standard_normal((4, 3)))
    Z[2:] = np.nan
    back = rows.inverse_transform(Z)
    assert np.isfinite(back[:2]).all()
    assert np.isnan(back[2:]).all()


def test_names_of_frames_in_both_libraries():
    X = np.random.default_rng(0).standard_normal((20, 2))
    for library in ("pandas", "polars"):
        lib = pytest.importorskip(library)
        frame = lib.DataFrame({"a": X[:, 0], "b": X[:, 1]})
        for data in (frame, [frame, frame]):
            rows = RowWise(StandardScaler()).fit(data)
            assert list(rows.get_feature_names_out()) == ["a", "b"]
            assert list(rows.transformer_.feature_names_in_) == ["a", "b"]
    assert list(RowWise(PCA()).fit(X).get_feature_names_out()) == ["pca0", "pca1"]


def test_in_a_stock_pipeline(waves):
    X = 100 + 10 * waves
    pipe = stock.make_pipeline(RowWise(StandardScaler()), DelayEmbedding(16), DMD())
    np.testing.assert_allclose(pipe.fit(X[:800]).predict(50), X[800:850], atol=1e-6)
