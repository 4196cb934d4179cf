"""The door to PyTorch: whether it is there, which device, which threads, which numbers.

Nothing here imports PyTorch before it is called. An estimator's module may import this
one at its top.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skdyn.utils._warn import caller_level

__all__ = [
    "ALONE",
    "gpu_at_hand",
    "isolated_rng",
    "one_thread",
    "require_torch",
    "resolve_device",
]

# Generators, the number of threads and the capture of CUDA graphs belong to the
# process: of fits in several Python threads (joblib's or dask's) one trains at a time.
ALONE = threading.RLock()


def require_torch(who: str) -> Any:
    """Import PyTorch and skorch for `who`, or say which extra has them.

    Parameters
    ----------
    who : str
        Name of the estimator, for the message.

    Returns
    -------
    module
        ``torch``.

    Raises
    ------
    ImportError
        Where PyTorch or skorch is not installed.
    """
    try:
        import skorch  # noqa: F401
        import torch
    except ImportError as error:
        raise ImportError(
            f"{who} needs PyTorch and skorch: pip install 'skdyn[neural]' ({error})"
        ) from error
    return torch


def resolve_device(device: str, who: str) -> str:
    """The device to train on, for what was asked.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:0", ...}
        "auto" is a GPU where PyTorch sees one, and the CPU elsewhere.
    who : str
        Name of the estimator, for messages.

    Returns
    -------
    str
        As PyTorch takes it.

    Raises
    ------
    ValueError
        For what is no device.

    Warns
    -----
    UserWarning
        Where a GPU was asked for that is not there; the CPU is taken.
    """
    torch = require_torch(who)
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if n_gpus else "cpu"
    try:
        asked = torch.device(device)
    except RuntimeError:
        asked = None
    if asked is None or asked.type not in ("cpu", "cuda"):
        raise ValueError(
            f"{who} needs device 'auto', 'cpu', 'cuda' or 'cuda:<index>', got "
            f"{device!r}."
        )
    if asked.type == "cuda" and (asked.index or 0) >= n_gpus:
        seen = f"{n_gpus} GPU(s)" if n_gpus else "no GPU"
        warnings.warn(
            f"{who} was asked for device={device!r}, but PyTorch {torch.__version__} "
            f"sees {seen}: training runs on the CPU. Install a build of PyTorch for "
            f"your GPU, or pass device='auto', which takes what there is.",
            UserWarning,
            stacklevel=caller_level(),
        )
        return "cpu"
    return str(device)


def gpu_at_hand(device: str) -> str | None:
    """The GPU that `device` stands for, None where it is the CPU or not there.

    Without a word, for what goes on without a GPU as well: a model that was trained on
    one may be loaded where there is none, and no PyTorch either.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:0", ...}
        As in `resolve_device`.

    Returns
    -------
    str or None
        As PyTorch takes it.
    """
    if device != "auto" and not device.startswith("cuda"):
        return None
    try:
        import torch
    except ImportError:
        return None
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if torch.cuda._is_in_bad_fork():
        # Forked from a process that used the GPU, this one cannot.
        return None
    if device == "auto":
        device = "cuda"
    return device if (torch.device(device).index or 0) < n_gpus else None


@contextmanager
def one_thread(n_threads: int | None = 1) -> Iterator[None]:
    """Let PyTorch use one thread inside, and as many as before after it.

    A small net loses more to the hand-over between threads than it gains, and loses a
    lot where several fits run beside each other (``n_jobs``).

    Parameters
    ----------
    n_threads : int or None, default=1
        Threads inside; None leaves them as they are.
    """
    import torch

    before = torch.get_num_threads()
    if n_threads is not None and n_threads != before:
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@contextmanager
def isolated_rng(seed: int, device: str = "cpu") -> Iterator[None]:
    """Seed PyTorch's global generators inside, and leave them untouched after it.

    Other Python threads that want the same wait.

    Parameters
    ----------
    seed : int
        The seed.
    device : str, default="cpu"
        The generator of this device is seeded and put back beside the CPU's.
    """
    import torch

    # Generators are seeded one by one: torch.manual_seed would seed those of all GPUs,
    # which are not put back.
    generators = [torch.random.default_generator]
    if torch.device(device).type == "cuda":
        torch.cuda.init()
        index = torch.device(device).index
        index = torch.cuda.current_device() if index is None else index
        generators.append(torch.cuda.default_generators[index])
    with ALONE:
        before = [generator.get_state() for generator in generators]
        try:
            for generator in generators:
                generator.manual_seed(seed)
            yield
        finally:
            for generator, state in zip(generators, before, strict=True):
                generator.set_state(state)
