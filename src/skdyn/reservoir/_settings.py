"""What every network of leaky units makes of its parameters, before it sees a state.

* `NETWORK`, the constraints of the parameters that all of them have.
* `standardisation`, `input_scaling`, `rows_to_forget`: numbers out of parameters.
* `check_targets`, what transformers say to targets that they cannot hand on.
* `own_order`, where an order of trajectories would otherwise decide something.
* `draw_network`: weights, standardisation and the generator, of an estimator whose
  whole drive goes to one network.

Strength of the drive. With columns v_j of mean 0 and variance 1, independent of each
other, and weights w_j of standard deviation s / sqrt(d), what arrives at a unit from d
columns has standard deviation s, whatever d.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from skdyn.reservoir._states import Weights
from skdyn.reservoir._topology import TOPOLOGIES, make_weights
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Pieces, Trajectories

__all__ = [
    "FORGOTTEN",
    "NETWORK",
    "NOT_NEGATIVE",
    "WASHOUT",
    "Network",
    "check_leak",
    "check_targets",
    "draw_network",
    "generator_of",
    "input_scaling",
    "mean_and_scale",
    "own_order",
    "rows_to_forget",
    "standardisation",
    "washout_of",
]

# Rows that a reservoir of unleaky units takes to forget where it began.
FORGOTTEN = 100
# The part of a trajectory that "auto" gives to the washout at most.
_LARGEST_PART = 10

NOT_NEGATIVE = Interval(Real, 0, None, closed="left")

NETWORK: dict = {
    "n_units": [Interval(Integral, 1, None, closed="left")],
    "spectral_radius": [NOT_NEGATIVE, None, "array-like"],
    "leak_rate": [Interval(Real, 0, 1, closed="right"), "array-like"],
    "input_scaling": [NOT_NEGATIVE, "array-like"],
    "bias_scaling": [NOT_NEGATIVE],
    "topology": [
        StrOptions(set(TOPOLOGIES)),
        "array-like",
        "sparse matrix",
        callable,
    ],
    "degree": [Interval(Integral, 1, None, closed="left")],
    "n_layers": [Interval(Integral, 1, None, closed="left")],
    "standardise": ["boolean", tuple],
    "random_state": ["random_state"],
}
WASHOUT: list = [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})]


class Network(NamedTuple):
    """What is drawn and settled before the first state."""

    weights: Weights
    mean: np.ndarray
    scale: np.ndarray
    rng: np.random.RandomState


def draw_network(
    estimator: Any, trajectories: Trajectories, inputs: Pieces | None = None
) -> Network:
    """Weights and standardisation of an estimator with the parameters of `NETWORK`.

    Parameters
    ----------
    estimator : estimator
        What has them as attributes.
    trajectories, inputs
        Training data, whose columns side by side drive the network.

    Returns
    -------
    Network
        With weights in double precision, and the generator for what else is random.

    Raises
    ------
    ValueError
        For parameters that do not go with each other or with the data.
    """
    d = trajectories.n_features
    q = 0 if inputs is None else int(inputs[0].shape[1])
    rng = generator_of(estimator.random_state)
    if estimator.n_units < estimator.n_layers:
        raise ValueError(
            f"{type(estimator).__name__} needs a unit for each layer: needed n_units "
            f"of at least n_layers={estimator.n_layers}, got {estimator.n_units}."
        )
    check_leak(estimator.leak_rate)
    mean, scale = standardisation(estimator.standardise, trajectories, inputs)
    weights = draw_weights(estimator, d, q, rng, n_layers=estimator.n_layers)
    return Network(weights, mean, scale, rng)


def draw_weights(
    estimator: Any,
    n_features: int,
    n_inputs: int,
    rng: np.random.RandomState,
    n_layers: int = 1,
) -> Weights:
    """Weights as an estimator's parameters say, for so many features and inputs."""
    return make_weights(
        estimator.n_units,
        input_scaling(estimator.input_scaling, n_features, n_inputs),
        spectral_radius=estimator.spectral_radius,
        leak_rate=estimator.leak_rate,
        bias_scaling=estimator.bias_scaling,
        topology=estimator.topology,
        degree=estimator.degree,
        n_layers=n_layers,
        rng=rng,
    )


def generator_of(random_state: Any) -> np.random.RandomState:
    """A generator; of a generator of the caller's, one of its own that it seeds."""
    rng = check_random_state(random_state)
    if isinstance(random_state, np.random.RandomState):
        # The caller's generator goes on by itself.
        return np.random.RandomState(rng.randint(2**31 - 1))
    return rng


def check_leak(leak_rate: Any) -> None:
    """Raise where a leak rate is not within (0, 1]."""
    leaks = np.asarray(leak_rate, dtype=np.float64)
    if not ((leaks > 0) & (leaks <= 1)).all():
        raise ValueError(f"leak_rate needs numbers within (0, 1], got {leak_rate!r}.")


def check_targets(y: Any, trajectories: Trajectories, who: str) -> None:
    """Raise where targets came as a list beside a list of trajectories.

    A transformer cannot change them, and no regressor of scikit-learn's takes a list.
    """
    listed = isinstance(y, (list, tuple)) and len(y) > 0
    arrays = listed and hasattr(y[0], "__array__") and np.ndim(y[0]) > 0
    if trajectories.form != "single" and arrays:
        raise ValueError(
            f"{who} hands y on as it is, and regressors and classifiers take one array "
            f"of targets: needed one array, got a {type(y).__name__} of {len(y)}. For "
            f'targets of rows set pool="rows" and pass np.concatenate(y), each without '
            f"the rows that a washout takes; for one target of each trajectory set "
            f'pool="last" or "mean" and pass an array of one row for each.'
        )


def rows_to_forget(leak_rate: Any) -> int:
    """Rows after which the slowest units have forgotten where they began."""
    return int(np.ceil(FORGOTTEN / float(np.min(leak_rate))))


def washout_of(washout: Any, n_rows: int, forgotten: int) -> int:
    """Rows of a trajectory of `n_rows` that are not learned from."""
    if washout != "auto":
        return int(washout)
    return min(forgotten, n_rows // _LARGEST_PART)


def own_order(pieces: Pieces) -> list[int]:
    """An order of trajectories that does not depend on the order they came in.

    Shorter ones first, then by the last row, then by the mean.
    """
    return sorted(
        range(len(pieces)),
        key=lambda i: (
            len(pieces[i]),
            *pieces[i][-1].tolist(),
            *pieces[i].mean(axis=0).tolist(),
        ),
    )


def mean_and_scale(rows: np.ndarray) -> tuple[Any, Any]:
    """Mean and standard deviation along the first axis; 1 for what is constant."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    # What is constant to rounding has no scale.
    flat = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return mean, np.where(flat, 1.0, scale)


def standardisation(
    given: Any, trajectories: Trajectories, inputs: Pieces | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of rows and inputs, side by side, as `given` or of the data."""
    drives = [trajectories.pieces] if inputs is None else [trajectories.pieces, inputs]
    width = sum(int(pieces[0].shape[1]) for pieces in drives)
    if given is False:
        return np.zeros(width), np.ones(width)
    if isinstance(given, tuple):
        if len(given) != 2 or any(np.shape(each) != (width,) for each in given):
            raise ValueError(
                f"standardise needs a tuple (mean, scale), each of shape (n_features + "
                f"n_inputs,) = ({width},), got shapes "
                f"{[np.shape(each) for each in given]}."
            )
        mean, scale = (np.array(each, dtype=np.float64) for each in given)
        if not (
            np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()
        ):
            raise ValueError(
                "standardise needs finite means and positive, finite scales."
            )
        return mean, scale
    found = [
        mean_and_scale(np.concatenate([np.asarray(p, np.float64) for p in pieces]))
        for pieces in drives
    ]
    means, scales = zip(*found, strict=True)
    return np.concatenate(means), np.concatenate(scales)


def input_scaling(given: Any, d: int, q: int) -> np.ndarray:
    """Standard deviation of the weights of each column of the drive."""
    if np.ndim(given) == 0:
        parts = [np.full(n, float(given) / np.sqrt(n)) for n in (d, q) if n]
        return np.concatenate(parts)
    scaling = np.asarray(given, dtype=np.float64)
    if scaling.shape != (d + q,) or not (scaling >= 0).all():
        raise ValueError(
            f"input_scaling needs one number, or one of at least 0 for each of the "
            f"{d} features and {q} inputs: needed shape ({d + q},), got "
            f"{scaling.shape}."
        )
    return scaling
