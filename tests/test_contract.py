"""The contract, over every public estimator found by introspection.

A new estimator is here the moment that it is exported. One that cannot be built without
arguments, or is dear to fit as it comes, gets its cheap instances below.
"""

import numpy as np
import pytest
from sklearn.base import is_classifier, is_clusterer, is_regressor
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdyn.koopman import DMD, DMDc
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding, RowWise
from skdyn.testing import all_estimators, expected_failed_checks, forecaster_checks

INSTANCES = {
    "DMD": [
        DMD(),
        DMD(rank=2),
        DMD(forward_backward=True),
        DMD(total_least_squares=True, exact=False),
    ],
    "DMDc": [DMDc(), DMDc(rank=2)],
    "DelayEmbedding": [DelayEmbedding(), DelayEmbedding(3, delay=2)],
    "RowWise": [RowWise(StandardScaler()), RowWise(PCA())],
    "Pipeline": [
        make_pipeline(StandardScaler(), DMD()),
        make_pipeline(StandardScaler(), DelayEmbedding(3), PCA(), DMDc()),
    ],
}


def _instances():
    for name, cls in all_estimators():
        for i, estimator in enumerate(INSTANCES.get(name) or [cls()]):
            yield pytest.param(estimator, id=f"{name}{i or ''}")


def _laws():
    for param in _instances():
        for law, check in forecaster_checks(*param.values):
            yield pytest.param(check, id=f"{param.id}-{law}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", list(_laws()))
def test_law(check):
    check()


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [param.values[0] for param in _instances()],
    expected_failed_checks=expected_failed_checks,
)
def test_sklearn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", list(_instances()))
def test_forecasters_are_no_regressors(estimator):
    kinds = (is_regressor, is_classifier, is_clusterer)
    assert not any(kind(estimator) for kind in kinds)


def test_introspection_finds_what_is_exported():
    import skdyn

    names = dict(all_estimators())
    assert {
        "DMD",
        "DMDc",
        "DelayEmbedding",
        "Persistence",
        "Pipeline",
        "RowWise",
    } <= set(names)
    # What has instances above exists, and every estimator is reachable from the top.
    assert set(INSTANCES) <= set(names)
    for name, cls in names.items():
        assert getattr(skdyn, name) is cls


def test_docstrings_have_what_numpydoc_asks():
    for name, cls in all_estimators():
        for part in ("Parameters", "Attributes", "Examples"):
            if part == "Parameters" and cls.__init__ is object.__init__:
                continue
            assert f"{part}\n    ----" in cls.__doc__, f"{name} has no {part} section"
        assert np.all([p in cls.__doc__ for p in cls._parameter_constraints]), name
