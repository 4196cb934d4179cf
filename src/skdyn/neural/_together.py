"""Models of one shape trained side by side: restarts, and the points of a grid.

One small network leaves a GPU idle: a step of its recursion takes as long for one
sequence as for thousands. Models that differ in their start, their data or the numbers
of their recipe, but not in their shape, are therefore trained in one loop,

    for each epoch:  for the k-th batches of all models, as (n_models, batch, ...):
        losses = module.losses(modules, batch); losses.sum().backward(); clip; step

Losses of different models share no parameter, so the gradient of their sum is the
gradient of each, and the optimisers used here act number by number. Each model keeps
its own draws, learning rate, clip, checks, checkpoints and patience: what comes out is
what training it alone gives, to rounding.

On a CPU a model's compiled epoch is faster than any such batch, and models train one
after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from skdyn.neural._torch import ALONE, isolated_rng, one_thread
from skdyn.neural._training import (
    OPTIMISERS,
    DynamicsNet,
    Job,
    Run,
    Stop,
    Trained,
    Windows,
    begin,
    choose,
    to_device,
    train_one_by_one,
)

__all__ = ["train_all"]

_Member = tuple[DynamicsNet, Run]
_Outcome = Trained | FloatingPointError | KeyboardInterrupt


def train_all(
    jobs: Sequence[Job], *, side_by_side: bool | None = None
) -> list[_Outcome]:
    """Train jobs, those of a kind side by side where that is faster.

    Parameters
    ----------
    jobs : sequence of Job
        One for each estimator.
    side_by_side : bool or None, default=None
        Whether models of one shape train in one loop, where their module can and
        nobody listens to single batches; None does so on a GPU.

    Returns
    -------
    list of Trained
        One for each job, or what it ended with: a FloatingPointError where it diverged
        before the first check, a KeyboardInterrupt where the user ended it before that.
    """
    joined = [i for i, job in enumerate(jobs) if _joins(job, side_by_side)]
    if sum(len(jobs[i].seeds) for i in joined) < 2:
        joined = []
    begun = {i: _begun(jobs[i]) for i in joined}
    kinds: dict[Any, list[int]] = {}
    for i, members in begun.items():
        # The restarts of a job are of one kind.
        kinds.setdefault(_kind(*members[0]), []).append(i)
    found: dict[int, _Outcome] = {}
    interrupted = False
    loud = any(job.recipe.verbose for job in jobs)
    for of_kind in kinds.values():
        every = [member for i in of_kind for member in begun[i]]
        interrupted = interrupted or _train(every, loud)
        for i in of_kind:
            found[i] = _outcome(choose, jobs[i], begun[i], interrupted)
    for i, job in enumerate(jobs):
        if i not in begun:
            ended = KeyboardInterrupt() if interrupted else None
            found[i] = ended or _outcome(train_one_by_one, job)
    return [found[i] for i in range(len(jobs))]


def _outcome(function: Callable[..., Trained], *given: Any) -> _Outcome:
    """What a function gives, or ends with: other jobs are not lost by it."""
    try:
        return function(*given)
    except (FloatingPointError, KeyboardInterrupt) as error:
        return error


def _begun(job: Job) -> list[_Member]:
    """The restarts of a job before their first epoch."""
    draw = to_device(job.draw, job.recipe)
    # One bar for all stands in for theirs.
    quiet = job._replace(recipe=replace(job.recipe, verbose=0))
    members = []
    for seed in job.seeds:
        with isolated_rng(seed, job.recipe.device):
            members.append(begin(quiet, draw, seed))
    return members


def _joins(job: Job, asked: bool | None) -> bool:
    """Whether the models of a job may train in one loop with others."""
    # skorch's callbacks hear of each batch of a net of its own; weights to go on from
    # are one model's.
    if job.recipe.callbacks or job.warm is not None:
        return False
    wanted = job.recipe.device != "cpu" if asked is None else asked
    return wanted and job.together


def _kind(net: DynamicsNet, run: Run) -> Any:
    """What models have in common that train in one loop."""
    recipe, draw = run.recipe, run.draw
    sizes = draw.length, draw.n_batches, draw.batch_size
    return type(net.module_), net.module_.peers, recipe.device, recipe.optimizer, sizes


def _train(members: list[_Member], loud: bool) -> bool:
    """All epochs of models of one kind; whether the user interrupted them."""
    recipe = members[0][1].recipe
    threads = recipe.n_threads if recipe.device == "cpu" else None
    optimiser, schedule = _optimiser(members)
    bar = _bar(members) if loud else None
    live, epoch, interrupted = list(members), 0, False
    # Of fits in several Python threads one trains at a time.
    with ALONE, torch.enable_grad(), one_thread(threads):
        for net, run in members:
            net.notify("on_train_begin", X=run)
        try:
            while live:
                for net, run in live:
                    net.notify("on_epoch_begin", dataset_train=run, dataset_valid=None)
                for group, recipe in zip(optimiser.param_groups, schedule, strict=True):
                    progress = min(epoch / recipe.max_epochs, 1.0)
                    group["lr"] = recipe.lr * recipe.factor(progress)
                losses = _epoch(live, optimiser, epoch)
                epoch += 1
                live = [
                    (net, run)
                    for (net, run), loss in zip(live, losses, strict=True)
                    if _goes_on(net, run, loss)
                ]
                if bar is not None:
                    bar.update()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            for net, run in members:
                net.notify("on_train_end", X=run)
            if bar is not None:
                bar.close()
    if not interrupted:
        for net, run in members:
            run.finish(net.module_)
    return interrupted


def _optimiser(members: list[_Member]) -> tuple[Any, list[Any]]:
    """One optimiser over all models, and the recipe of each of its groups."""
    groups: dict[Any, tuple[Any, list[Any]]] = {}
    for net, run in members:
        r = run.recipe
        schedule = id(r.lr_schedule) if callable(r.lr_schedule) else r.lr_schedule
        key = r.lr, r.weight_decay, schedule, r.max_epochs
        groups.setdefault(key, (r, []))[1].extend(net.module_.parameters())
    optimiser = OPTIMISERS[members[0][1].recipe.optimizer](
        [
            {"params": params, "lr": r.lr, "weight_decay": r.weight_decay}
            for r, params in groups.values()
        ]
    )
    return optimiser, [r for r, _ in groups.values()]


def _epoch(live: list[_Member], optimiser: Any, epoch: int) -> list[float]:
    """Train an epoch of all; the mean loss of each."""
    modules = [net.module_ for net, _ in live]
    for module in modules:
        module.train()
    clips = [run.recipe.gradient_clip for _, run in live]
    losses = []
    for batch in _joined([run.draw.epoch(run.rng, epoch) for _, run in live]):
        # Models that have ended keep no gradient, and the optimiser passes them over.
        optimiser.zero_grad()
        loss = type(modules[0]).losses(modules, batch)
        loss.sum().backward()
        _clip(modules, clips)
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses).double().mean(0).tolist()


def _joined(each: list[Windows]) -> Iterator[Any]:
    """The batches of several models, k-th with k-th, as (n_models, batch, ...)."""
    first = each[0]
    # Restarts draw from the same rows.
    sources = {id(one.rows): one for one in each}
    offsets, total = {}, 0
    for key, one in sources.items():
        offsets[key], total = total, total + len(one.rows)
    starts = np.stack([one.starts + offsets[id(one.rows)] for one in each], 1)

    def together(name: str) -> Any:
        parts = [getattr(one, name) for one in sources.values()]
        return parts[0] if parts[0] is None or len(parts) == 1 else torch.cat(parts)

    rows, inputs, masks = (together(name) for name in ("rows", "inputs", "masks"))
    return iter(Windows(rows, inputs, masks, starts, first.length))


def _clip(modules: Sequence[Any], clips: Sequence[float | None]) -> None:
    """Clip the gradient of each model to its own norm."""
    if all(clip is None for clip in clips):
        return
    params = list(zip(*(module.parameters() for module in modules), strict=True))
    grads = [torch.stack([p.grad for p in same]) for same in params]
    norms = sum((grad.flatten(1) ** 2).sum(1) for grad in grads) ** 0.5
    most = norms.new_tensor([np.inf if clip is None else clip for clip in clips])
    factor = (most / (norms + 1e-6)).clamp(max=1.0)
    # A norm that is infinite itself: what has no clip is left as it is.
    factor = torch.where(most.isinf(), torch.ones_like(factor), factor)
    for same, grad in zip(params, grads, strict=True):
        scaled = grad * factor.reshape(-1, *[1] * (grad.ndim - 1))
        for p, part in zip(same, scaled, strict=True):
            p.grad = part


def _goes_on(net: DynamicsNet, run: Run, loss: float) -> bool:
    """Note the epoch of one model; whether it trains for another."""
    net.history.new_batch()
    net.history.record_batch("train_loss", loss)
    net.history.record("train_loss", loss)
    try:
        net.notify("on_epoch_end", dataset_train=run, dataset_valid=None)
    except Stop:
        return False
    return len(net.history) < run.recipe.max_epochs


def _bar(members: list[_Member]) -> Any:
    from tqdm.auto import tqdm

    name = type(members[0][0].module_).__name__
    most = max(run.recipe.max_epochs for _, run in members)
    return tqdm(total=most, desc=f"{len(members)} x {name}", unit="epoch")
