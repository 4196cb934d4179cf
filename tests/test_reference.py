"""Real recordings; they lie outside the repository and the tests skip without them."""

import numpy as np
import pytest

from skdyn.baselines import Persistence
from skdyn.koopman import DMD
from skdyn.model_selection import forecast_scorer
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding

pytestmark = pytest.mark.reference


def test_laser_is_forecast_better_than_by_persistence(reference_data):
    X = np.load(reference_data("santafe_laser.npy")).astype(float)
    scorer = forecast_scorer("nrmse", 20, context=64, n_origins=200)
    model = make_pipeline(DelayEmbedding(64), DMD()).fit(X[:5000])
    still = Persistence().fit(X[:5000])
    assert scorer(model, X[5000:]) > scorer(still, X[5000:]) / 2


def test_lorenz_with_noise_is_forecast_one_step(reference_data):
    X = np.load(reference_data("lorenz63_on0.05_train.npy"))[:20000]
    model = make_pipeline(DelayEmbedding(20), DMD()).fit(X[:10000])
    # The noise itself, 5% of the spread, cannot be forecast: R² stays below .9975.
    assert 0.95 < model.score(X[10000:]) < 0.9975
