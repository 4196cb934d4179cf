"""Models that train side by side are what each is when it trains alone."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from dataclasses import replace  # noqa: E402

from sklearn.exceptions import ConvergenceWarning  # noqa: E402

from skdyn.datasets import make_lorenz63  # noqa: E402
from skdyn.neural import PLRNN, fit_together  # noqa: E402
from skdyn.neural._together import train_all  # noqa: E402

X = make_lorenz63(150)
SMALL = {
    "n_hinges": 10,
    "sequence_length": 12,
    "batch_size": 4,
    "max_epochs": 3,
    "selection": "loss",
}


def both_ways(*models, X=X, u=None):
    """Jobs of models, trained one after the other and side by side."""
    jobs = [model._plan(X, u).job for model in models]
    # The compiled epoch leaves a batch that diverges out: autograd for both.
    jobs = [job._replace(build=_by_autograd(job.build)) for job in jobs]
    return train_all(jobs, side_by_side=False), train_all(jobs, side_by_side=True)


def _by_autograd(build):
    def built(seed):
        module = build(seed)
        module._fused = False
        return module

    return built


def assert_same(alone, together):
    assert len(alone) == len(together)
    for one, other in zip(alone, together, strict=True):
        assert [r.seed for r in one.restarts] == [r.seed for r in other.restarts]
        for a, b in zip(one.restarts, other.restarts, strict=True):
            assert a.best_epoch == b.best_epoch
            for name, value in a.state_dict.items():
                torch.testing.assert_close(
                    b.state_dict[name], value, rtol=2e-4, atol=2e-5
                )
        assert len(one.history) == len(other.history)
        for a, b in zip(one.history, other.history, strict=True):
            assert a.keys() == b.keys()
            assert a["lr"] == pytest.approx(b["lr"], rel=1e-12)
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)


@pytest.mark.parametrize("variant", ["clipped", "almost_linear"])
def test_restarts(variant):
    options = {**SMALL, "n_hinges": 3, "manifold_penalty": 0.1, "selection": "free_run"}
    model = PLRNN(variant, n_init=3, **options)
    assert_same(*both_ways(model, X=make_lorenz63(400)))


def test_points_of_a_grid_keep_what_is_theirs():
    models = [
        PLRNN(**SMALL),
        PLRNN(**{**SMALL, "lr": 1e-3, "weight_decay": 0.1}),
        PLRNN(**{**SMALL, "alpha": 0.4, "random_state": 3, "burn_in": 2}),
        PLRNN(**{**SMALL, "gradient_clip": 1e-3, "max_epochs": 5}),
        PLRNN(**{**SMALL, "gradient_clip": None, "alpha": "arithmetic"}),
        # Other shapes.
        PLRNN(**{**SMALL, "n_hinges": 12, "n_init": 2}),
        PLRNN(**{**SMALL, "sequence_length": 8}),
    ]
    assert_same(*both_ways(*models))


def test_trajectories_and_inputs():
    u = np.random.default_rng(0).standard_normal((150, 2))
    pieces, inputs = [X[:60], X[60:]], [u[:60], u[60:]]
    models = PLRNN(**SMALL), PLRNN(**{**SMALL, "random_state": 1})
    assert_same(*both_ways(*models, X=pieces, u=inputs))


def test_patience_ends_one_and_not_the_others():
    jobs = [PLRNN(**SMALL, n_init=3)._plan(X, None).job]
    errors = iter(range(1000))
    job = jobs[0]._replace(
        recipe=replace(jobs[0].recipe, max_epochs=8, check_every=1, patience=2),
        # Only the first check of the first model is the best of its.
        error=lambda module: next(errors),
        on_check=None,
    )
    (trained,) = train_all([job], side_by_side=True)
    # Three models, checked in turn: their errors only grow.
    assert [each.best_epoch for each in trained.restarts] == [1, 1, 1]
    assert len(trained.history) == 3


def test_a_model_that_diverges_leaves_the_others_alone():
    wild = PLRNN(**{**SMALL, "lr": 1e30, "lr_schedule": None, "gradient_clip": None})
    jobs = [model._plan(X, None).job for model in (PLRNN(**SMALL), wild)]
    recipe = replace(jobs[1].recipe, check_first=True)
    jobs[1] = jobs[1]._replace(recipe=recipe, error=lambda m: 1.0, on_check=None)
    with pytest.warns(ConvergenceWarning, match="diverged in epoch"):
        tame, lost = train_all(jobs, side_by_side=True)
    (alone,) = train_all(jobs[:1], side_by_side=True)
    assert lost.restarts[0].best_epoch == 0
    want = alone.restarts[0].state_dict["theta"]
    torch.testing.assert_close(
        tame.restarts[0].state_dict["theta"], want, rtol=2e-4, atol=2e-5
    )


def test_fit_together_is_fit():
    models = [PLRNN(**{**SMALL, "random_state": seed}) for seed in range(2)]
    fitted = fit_together(models, X)
    assert fitted == models
    for seed, model in enumerate(fitted):
        want = PLRNN(**{**SMALL, "random_state": seed}).fit(X)
        np.testing.assert_array_equal(model.predict(5), want.predict(5))


def test_fit_together_says_what_it_takes():
    assert fit_together([], X) == []
    with pytest.raises(TypeError, match="needs PLRNN estimators, got str"):
        fit_together([PLRNN(), "PLRNN"], X)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_restarts_are_what_they_are_on_a_cpu():
    there = PLRNN(**SMALL, n_init=3, device="cuda").fit(X)
    here = PLRNN(**SMALL, n_init=3, device="cpu").fit(X)
    for a, b in zip(there.restarts_, here.restarts_, strict=True):
        theta, want = a.state_dict["theta"], b.state_dict["theta"]
        torch.testing.assert_close(theta, want, rtol=1e-2, atol=1e-3)


def test_one_that_diverges_leaves_the_others_fitted():
    good = PLRNN(**SMALL)
    bad = PLRNN(**{**SMALL, "lr": 1e30, "gradient_clip": None})
    with (
        pytest.warns(ConvergenceWarning, match="diverged"),
        pytest.raises(FloatingPointError, match="before its first check"),
    ):
        fit_together([bad, good], X)
    np.testing.assert_array_equal(good.predict(3), PLRNN(**SMALL).fit(X).predict(3))


@pytest.mark.parametrize("side_by_side", [False, True])
def test_an_interrupt_during_a_check_ends_the_training(side_by_side):
    job = PLRNN(**SMALL, n_init=3)._plan(X, None).job
    calls = []

    def error(module):
        calls.append(module)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return 1.0

    job = job._replace(
        recipe=replace(job.recipe, check_every=1), error=error, on_check=None
    )
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        (trained,) = train_all([job], side_by_side=side_by_side)
    assert len(calls) == 3
    # One after the other, all three were checks of the first.
    assert len(trained.restarts) == (2 if side_by_side else 1)


def test_an_interrupt_before_any_check_trains_nothing_more():
    def interrupted(progress):
        raise KeyboardInterrupt

    jobs = [PLRNN(**{**SMALL, "n_init": 2})._plan(X, None).job]
    stopping = replace(jobs[0].recipe, lr_schedule=interrupted)
    # The second would train by itself.
    jobs = [jobs[0]._replace(recipe=stopping), jobs[0]._replace(together=False)]
    found = train_all(jobs, side_by_side=True)
    assert [type(each) for each in found] == [KeyboardInterrupt] * 2


def test_a_model_without_a_clip_keeps_its_gradient():
    from skdyn.neural._together import _clip

    modules = [torch.nn.Linear(2, 1, bias=False) for _ in range(2)]
    for module, size in zip(modules, (1e25, 3.0), strict=True):
        module.weight.grad = torch.full((1, 2), size)
    _clip(modules, [None, 0.5])
    torch.testing.assert_close(modules[0].weight.grad, torch.full((1, 2), 1e25))
    assert modules[1].weight.grad.norm() == pytest.approx(0.5, rel=1e-5)


def test_a_schedule_need_not_be_hashable():
    class Half:
        def __call__(self, progress):
            return 0.5

        def __eq__(self, other):
            return isinstance(other, Half)

        __hash__ = None

    assert_same(*both_ways(PLRNN(**SMALL, lr_schedule=Half(), n_init=2)))
