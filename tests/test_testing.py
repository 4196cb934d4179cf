"""The contract suite catches the faults that it is there for."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from skdyn.base import ForecasterMixin, TransformMixin
from skdyn.koopman import DMD
from skdyn.preprocessing import DelayEmbedding
from skdyn.testing import check_forecaster, expected_failed_checks


class Sound(ForecasterMixin, BaseEstimator):
    """The global mean of increments, added at each step: a sound little forecaster."""

    _parameter_constraints = {}

    def fit(self, X, y=None):
        trajectories, _ = self._check_fit(X)
        self.drift_ = self._learn(trajectories)
        self._remember(trajectories)
        return self

    def _learn(self, trajectories):
        before, after = trajectories.pairs()
        return (after - before).mean(axis=0)

    def _begin(self, contexts, u):
        return contexts[:, -1]

    def _step(self, state, u):
        state = state + self.drift_.astype(state.dtype)
        return state, state.copy()


class PairsAcross(Sound):
    def _learn(self, trajectories):
        return np.diff(trajectories.rows(), axis=0).mean(axis=0)


class Stateful(Sound):
    def _step(self, state, u):
        self.drift_ = 1.01 * self.drift_
        return super()._step(state, u)


class LeaksMemory(Sound):
    def _rollout(self, state, n_steps, u):
        if not hasattr(self, "kept_") or self.kept_.shape[1] != n_steps:
            self.kept_ = super()._rollout(state, n_steps, u)
        return self.kept_


class NoPrefix(Sound):
    def _rollout(self, state, n_steps, u):
        return super()._rollout(state, n_steps, u) + n_steps


class CouplesBatch(Sound):
    def _begin(self, contexts, u):
        return contexts[:, -1] + 0.01 * contexts[:, -1].mean(axis=0)


class ForgetsDtype(Sound):
    def _forecast_dtype(self, dtype):
        return np.dtype(np.float64)


class Remembers(Sound):
    def _learn(self, trajectories):
        self.seen_ = getattr(self, "seen_", 0) + 1
        return super()._learn(trajectories) * self.seen_


class Random(Sound):
    def _learn(self, trajectories):
        return super()._learn(trajectories) + np.random.default_rng().standard_normal()


class WithoutConstraints(Sound):
    _parameter_constraints = {}

    def __init__(self, gain=1.0):
        self.gain = gain


class TakesKwargs(Sound):
    def __init__(self, **options):
        self.options = options


class TakesAnything(Sound):
    def _check_context(self, X, needs_last=True):
        from skdyn.utils._trajectories import as_trajectories

        return as_trajectories(X, allow_nan=True)


class LosesRows(TransformMixin, BaseEstimator):
    """A transformer that shortens without saying so."""

    _parameter_constraints = {}

    def fit(self, X, y=None):
        self._check_fit(X)
        return self

    def _transform(self, x):
        return x[..., 1:, :]

    def _inverse(self, y):
        return y

    def get_feature_names_out(self, input_features=None):
        return np.array([f"x{j}" for j in range(self.n_features_in_)])


class WrongInverse(LosesRows):
    def _transform(self, x):
        return 2 * x


@pytest.mark.filterwarnings("ignore")
def test_a_sound_forecaster_passes():
    check_forecaster(Sound())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("faulty", "law"),
    [
        (PairsAcross(), "order_of_trajectories"),
        (Stateful(), "forms_agree|prefix|pure"),
        (LeaksMemory(), "order|pure|forms_agree|context_given|batch"),
        (NoPrefix(), "prefix"),
        (CouplesBatch(), "context|batch|one_step|order"),
        (ForgetsDtype(), "dtype"),
        (Remembers(), "clone|refit"),
        (Random(), "forms_agree|order"),
        (WithoutConstraints(), "constraints"),
        (TakesAnything(), "bad_data|short|named"),
        (LosesRows(), "transform_keeps_forms"),
        (WrongInverse(), "inverse_comes_back"),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, str) else "",
)
def test_a_fault_is_caught_by_name(faulty, law):
    with pytest.raises(AssertionError, match=f"breaks the contract: .*({law})"):
        check_forecaster(faulty)


def test_a_class_is_refused():
    with pytest.raises(TypeError, match=r"instance: Sound\(\)"):
        check_forecaster(Sound)


def test_kwargs_are_caught():
    with pytest.raises((AssertionError, RuntimeError)):
        check_forecaster(TakesKwargs())


def test_the_list_of_expected_failures_is_closed():
    ordered = {
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
    }
    assert set(expected_failed_checks(DMD())) == {"check_complex_data"}
    assert expected_failed_checks(Sound()) == {}
    got = set(expected_failed_checks(DelayEmbedding()))
    assert got == ordered | {
        "check_complex_data",
        "check_transformer_general",
        "check_transformer_data_not_an_array",
    }
    assert all(
        "ordered in time" in expected_failed_checks(DelayEmbedding())[c]
        for c in ordered
    )
