"""Grids name parameters that there are, with values that are allowed, and run."""

import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    ParameterGrid,
)

from skdyn.datasets import make_lorenz63
from skdyn.model_selection import RollingOriginSplit, forecast_scorer
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding
from skdyn.reservoir import ESN, NVAR, esn_grid, nvar_grid


@pytest.mark.parametrize(
    ("estimator", "grid", "size", "n_candidates"),
    [
        (ESN(), esn_grid, "small", 9),
        (ESN(), esn_grid, "medium", 32),
        (ESN(), esn_grid, "large", 240),
        (NVAR(), nvar_grid, "small", 6),
        (NVAR(), nvar_grid, "medium", 36),
    ],
)
def test_candidates_are_allowed(estimator, grid, size, n_candidates):
    candidates = list(ParameterGrid(grid(size)))
    assert len(candidates) == n_candidates
    for candidate in candidates:
        estimator.set_params(**candidate)._validate_params()


def test_a_grid_is_its_callers():
    esn_grid()["input_scaling"].append("changed")
    assert "changed" not in esn_grid()["input_scaling"]
    with pytest.raises(ValueError, match="'huge'"):
        esn_grid("huge")


def test_grids_run_over_trajectories_and_halving_over_units():
    X = [make_lorenz63(120, random_state=seed) for seed in range(2)]
    scorer = forecast_scorer("cme", horizon=20, context=40)
    pipe = make_pipeline(DelayEmbedding(1), ESN(10))
    search = GridSearchCV(
        pipe,
        esn_grid(prefix="esn__"),
        scoring=scorer,
        cv=KFold(2),
        error_score="raise",
    )
    assert set(search.fit(X).best_params_) == set(esn_grid(prefix="esn__"))
    halving = HalvingGridSearchCV(
        ESN(),
        esn_grid("small"),
        resource="n_units",
        min_resources=10,
        max_resources=30,
        factor=3,
        scoring=forecast_scorer("cme", horizon=30, context=70),
        cv=RollingOriginSplit(2, horizon=60, context=80),
        error_score="raise",
    )
    halving.fit(make_lorenz63(500))
    assert halving.n_resources_ == [10, 30]
    assert halving.best_estimator_.n_units == 30
    # The penalty was chosen inside.
    assert halving.best_estimator_.alphas_ is not None
    nvar = GridSearchCV(NVAR(), nvar_grid(), scoring=scorer, cv=KFold(2))
    assert nvar.fit(X).best_score_ > 0.9
