"""Warnings point at the caller's own line, from whatever depth."""

import warnings

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdyn.koopman import DMD
from skdyn.preprocessing import DelayEmbedding
from skdyn.sindy import STLSQ, SINDy, WeakSINDy


def test_warnings_point_here():
    x = np.linspace(1, 2, 50)[:, None]
    models = [
        lambda: STLSQ(1e3).fit(x, x),
        lambda: SINDy(solver=STLSQ(1e3)).fit(x),
        lambda: WeakSINDy(solver=STLSQ(1e3)).partial_fit(x),
        lambda: make_pipeline(StandardScaler(), SINDy(solver=STLSQ(1e3))).fit(x),
    ]
    for fit in models:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            fit()
        assert said
        assert {each.filename for each in said} == {__file__}


def test_warnings_of_divergence_point_here():
    X = 10.0 ** np.arange(10)[:, None]
    model = DMD().fit([X, X])
    calls = [
        lambda: model.predict(400),
        lambda: model.forecast(400, context=X),
        lambda: make_pipeline(DelayEmbedding(2), DMD()).fit([X, X]).predict(400),
    ]
    for call in calls:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            call()
        assert said
        assert {each.filename for each in said} == {__file__}
