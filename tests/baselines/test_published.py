"""Errors published for the baselines, from recordings that lie outside."""

import csv

import numpy as np
import pytest

from skdyn.baselines import ContextParroting, Drift, Mean, Persistence
from skdyn.metrics import smape

pytestmark = pytest.mark.reference


@pytest.fixture
def chaos(reference_data):
    """131 chaotic series of 1200 rows, and the published sMAPE of rows 1000 to 1198."""
    with np.load(reference_data("dysts_univariate_clean_100.npz")) as held:
        series, names = held["evaluation"][..., None], list(held["names"])
    with open(reference_data("dysts_univariate_clean_100_published.csv")) as lines:
        published = list(csv.DictReader(lines))
    assert [row["system"] for row in published] == names
    return series, published


def errors(model, series):
    return np.array(
        [smape(x[1000:1199], model.fit(x[:1000]).predict(199)) for x in series]
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [(Mean(), "NaiveMean"), (Drift(), "NaiveDrift"), (Persistence(), "NaiveSeasonal")],
)
def test_simple_methods_have_the_published_errors(chaos, model, name):
    series, published = chaos
    want = [float(row[name]) for row in published]
    np.testing.assert_allclose(errors(model, series), want, atol=6e-5)


def test_parroting_is_tough_to_beat(chaos):
    series, published = chaos
    methods = set(published[0]) - {"system", "NBEATSModel"}
    medians = [np.median([float(row[m]) for row in published]) for m in methods]
    assert np.median(errors(ContextParroting(), series)) < 0.7 * min(medians)
