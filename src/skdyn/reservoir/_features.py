"""States of a driven reservoir as features, for any regressor or classifier.

Equation, with rows x standardised to v (see `_states`):

    r[k] = (1 - a) r[k-1] + a tanh(W r[k-1] + W_in v[k] + b),

from the state that the network comes to when nothing drives it (v = 0, the mean row):
begun at zero, units with biases would need rows to come to rest, and these, by far the
largest of all, would be what a readout is fitted to. The features of row k are x[k],
r[k] and squares of every second unit of r[k]. What is asked of them is another column
y[k], a filter of the rows up to k (Jaeger 2001; the "liquid" of Maass, Natschläger &
Markram 2002), or the class of a whole trajectory.

References: see `ReservoirFeatures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skdyn.base import TransformMixin, as_horizon
from skdyn.reservoir._settings import (
    NETWORK,
    check_targets,
    draw_network,
    rows_to_forget,
)
from skdyn.reservoir._states import run, settle
from skdyn.utils._sklearn import (
    Interval,
    StrOptions,
    create_frame,
    feature_names_in,
    output_container,
)
from skdyn.utils._trajectories import Pieces, Trajectories, check_trajectories

__all__ = ["ReservoirFeatures", "pooled"]


def _comes_back(estimator: Any) -> bool:
    return bool(estimator.include_state and estimator.pool is None)


class _AllTogether:
    """``transform`` that drives all trajectories together, and may pool them.

    It stands in a class of its own, for the reason that `TransformMixin` gives.
    """

    def transform(self: Any, X: Any) -> Any:
        """Give the features of every row, or pass a forecast request on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), list of these, int or Horizon
            The data, in any accepted form, or a forecast request.

        Returns
        -------
        ndarray, DataFrame, list of these, or Horizon
            In the form of `X`, without the first `washout` rows of each trajectory.
            With `pool`, one 2-D array (or DataFrame): the rows of all trajectories one
            below the other for "rows", else one row for each trajectory.

        Raises
        ------
        TypeError
            For a forecast request where the rows cannot be found among the features.
        """
        check_is_fitted(self)
        horizon = as_horizon(X)
        if horizon is not None:
            if not _comes_back(self):
                raise TypeError(
                    f"A forecast cannot come back through ReservoirFeatures("
                    f"include_state={self.include_state}, pool={self.pool!r}): it needs"
                    f" the rows among the features. Set include_state=True and "
                    f"pool=None."
                )
            return horizon.through(self)
        least = self.min_context_
        trajectories = check_trajectories(
            self,
            X,
            reset=False,
            min_rows=least,
            why_min_rows=(
                f"ReservoirFeatures(washout={least - 1}) gives no features of the "
                f"first {least - 1} row(s); pass more rows, or lower washout."
            ),
        )
        return self._wrap(trajectories, self._features(trajectories.pieces), X)


class ReservoirFeatures(_AllTogether, TransformMixin, BaseEstimator):
    """States of a fixed random network that the rows drive, as features.

    A row becomes itself and the state of a reservoir after it: many nonlinear functions
    of the row and the rows before it, which fade with their age. A linear model on top
    is an echo state network for any target; any other regressor or classifier of
    scikit-learn's can stand there too.

    Parameters
    ----------
    n_units : int, default=100
        Units of the network, of all layers together.
    spectral_radius : float, None or sequence of floats, default=0.9
        Largest modulus of the eigenvalues of W, the length of the memory. See `ESN`,
        also for the following, which mean the same there.
    leak_rate : float or sequence of floats, default=1.0
        Below 1, units are slow.
    input_scaling : float or array-like of shape (n_features,), default=0.1
        Strength of the drive: its standard deviation at a unit, or that of the weights
        of each column. A weak drive remembers longest, a strong one bends most.
    bias_scaling : float, default=0.3
        Biases are uniform within plus and minus this. 0 leaves only odd functions of
        the rows (about their mean), which no readout can make a square of.
    topology : {"random", "ring", "delay_line", "small_world"}, array-like, sparse \
matrix or callable, default="random"
        Who hears whom.
    degree : int, default=10
        Units that each unit hears.
    n_layers : int, default=1
        Layers, each of which hears the one below it.
    include_state : bool, default=True
        Whether the row itself is among the features, first. A forecast can come back
        through the transformer only then.
    quadratic : bool, default=False
        Whether squares of every second state follow the states.
    washout : int, default=0
        Rows at the start of each trajectory of which no features are given, since they
        know little of the past. With 0, features and targets y keep their rows. With
        more, y has to lose the same rows.
    pool : {None, "rows", "last", "mean"}, default=None
        What becomes of several trajectories: None gives features of each, in the form
        of `X`. The others give one 2-D array for what is not skdyn's: "rows" has the
        rows of all, one below the other, as targets ``np.concatenate(ys)`` have them;
        "last" and "mean" have one row for each trajectory, its last features or their
        mean after the washout, to classify trajectories by.
    standardise : bool or tuple (mean, scale), default=True
        Whether rows are shifted by the mean and divided by the standard deviation of
        the training data before they drive the network, or what to use in their place.
    random_state : int, RandomState instance or None, default=0
        Seed of the weights.

    Attributes
    ----------
    weights_ : Weights
        The fixed weights: ``recurrent`` (W, sparse), ``drive`` (W_in), ``bias`` and
        ``leak``.
    rest_ : ndarray of shape (n_units,)
        The state before the first row of every trajectory: what the mean row, held for
        some hundred rows, brings the network to.
    mean_, scale_ : ndarray of shape (n_features,)
        What rows are standardised with.
    min_context_ : int
        ``washout + 1``.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    See Also
    --------
    ESN : Forecasts with a network that hears its own forecasts.
    memory_capacity : How far back a linear readout can look.
    conditional_lyapunov_exponent : Whether the network forgets where it began.

    Notes
    -----
    Features of a row depend on all rows before it in the same trajectory, each of which
    begins at the state of rest. States are computed in the precision of the data.

    References
    ----------
    Jaeger, "The 'echo state' approach to analysing and training recurrent neural
    networks", GMD Report 148 (2001).

    Maass, Natschläger & Markram, "Real-time computing without stable states: a new
    framework for neural computation based on perturbations", Neural Computation 14
    (2002), 2531.

    Examples
    --------
    A filter with a product in it, of a trajectory of inputs:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdyn.reservoir import ReservoirFeatures
    >>> X = np.random.default_rng(0).uniform(-1, 1, (2000, 1))
    >>> y = np.roll(X[:, 0], 3) * np.roll(X[:, 0], 1)
    >>> model = make_pipeline(ReservoirFeatures(), Ridge(1e-6))
    >>> bool(model.fit(X[:1500], y[:1500]).score(X[1500:], y[1500:]) > 0.95)
    True

    Trajectories of two kinds:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import StandardScaler
    >>> phases = np.random.default_rng(1).uniform(0, 1, (60, 1, 1))
    >>> rising = (0.13 * np.arange(40)[:, None] + phases) % 1
    >>> kinds = np.tile([0, 1, 1], 20)
    >>> X = np.where(kinds[:, None, None], rising, rising[:, ::-1])
    >>> model = make_pipeline(
    ...     ReservoirFeatures(pool="mean"), StandardScaler(), LogisticRegression()
    ... )
    >>> bool(model.fit(X[::2], kinds[::2]).score(X[1::2], kinds[1::2]) > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **NETWORK,
        "include_state": ["boolean"],
        "quadratic": ["boolean"],
        "washout": [Interval(Integral, 0, None, closed="left")],
        "pool": [StrOptions({"rows", "last", "mean"}), None],
    }
    _uses_whole_context = True

    def __init__(
        self,
        n_units: int = 100,
        *,
        spectral_radius: float | Sequence[float] | None = 0.9,
        leak_rate: float | Sequence[float] = 1.0,
        input_scaling: Any = 0.1,
        bias_scaling: float = 0.3,
        topology: Any = "random",
        degree: int = 10,
        n_layers: int = 1,
        include_state: bool = True,
        quadratic: bool = False,
        washout: int = 0,
        pool: Literal["rows", "last", "mean"] | None = None,
        standardise: bool | tuple[Any, Any] = True,
        random_state: Any = 0,
    ) -> None:
        self.n_units = n_units
        self.spectral_radius = spectral_radius
        self.leak_rate = leak_rate
        self.input_scaling = input_scaling
        self.bias_scaling = bias_scaling
        self.topology = topology
        self.degree = degree
        self.n_layers = n_layers
        self.include_state = include_state
        self.quadratic = quadratic
        self.washout = washout
        self.pool = pool
        self.standardise = standardise
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> ReservoirFeatures:
        """Draw the network, and learn what standardises the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``washout + 1`` rows.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        ReservoirFeatures
            The transformer itself.

        Raises
        ------
        ValueError
            If `y` is a list beside several trajectories: what stands behind in a
            pipeline needs one array.
        """
        self._validate_params()
        trajectories = self._check_fit(
            X,
            min_rows=self.washout + 1,
            why_min_rows=(
                f"ReservoirFeatures(washout={self.washout}) gives no features of the "
                f"first {self.washout} row(s); pass longer trajectories, or lower "
                f"washout."
            ),
        )
        check_targets(y, trajectories, "ReservoirFeatures")
        self.weights_, self.mean_, self.scale_, _ = draw_network(self, trajectories)
        held = np.zeros((1, rows_to_forget(self.leak_rate), trajectories.n_features))
        self.rest_ = settle(self.weights_, held)[:, 0]
        self.min_context_ = int(self.washout) + 1
        return self

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns: those of the features, ``unit0``, ..., ``unit1^2``.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those of ``fit``.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "n_features_in_")
        names = [str(name) for name in feature_names_in(self, input_features)]
        n = self.n_units
        columns = names if self.include_state else []
        columns = [*columns, *(f"unit{i}" for i in range(n))]
        if self.quadratic:
            columns += [f"unit{i}^2" for i in range(1, n, 2)]
        return np.array(columns, dtype=object)

    @available_if(_comes_back)
    def inverse_transform(self, X: Any) -> Any:
        """Give the rows back: the first columns.

        There only with ``include_state=True`` and ``pool=None``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_outputs), list of these, or 3-D array
            Features; NaN passes through.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of `X`, with ``n_features_in_`` columns.
        """
        return super().inverse_transform(X)

    def _inverse(self, y: np.ndarray) -> np.ndarray:
        # A copy: a view would keep all the states alive.
        return y[..., : self.n_features_in_].copy()

    def _features(self, pieces: Pieces) -> Pieces:
        """Features of every row after the washout, or pooled ones (1, p), by piece."""
        dtype = pieces[0].dtype.type
        weights = self.weights_.astype(dtype)
        drives = [((x - self.mean_) / self.scale_).astype(dtype) for x in pieces]
        d = self.n_features_in_ if self.include_state else 0
        n, m = self.n_units, self.n_units // 2 if self.quadratic else 0
        lead, pooled = self.min_context_ - 1, self.pool in ("last", "mean")
        shape = [1 if pooled else len(x) - lead for x in pieces]
        made: Pieces = [np.zeros((rows, d + n + m), dtype) for rows in shape]
        if isinstance(pieces, np.ndarray):
            made = np.zeros((len(pieces), shape[0], d + n + m), dtype)
        states = np.repeat(self.rest_.astype(dtype)[:, None], len(drives), axis=1)
        for block in run(weights, drives, states):
            skipped = max(lead - block.start, 0)
            shown = block.states[skipped:]
            if not len(shown):
                continue
            start = block.start + skipped
            for lane, i in enumerate(block.members):
                r = shown[:, lane]
                x = pieces[i][start : start + len(r), :d]
                parts = [x, r, r[:, 1::2] ** 2] if m else [x, r]
                if self.pool == "last":
                    made[i][0] = np.hstack([part[-1] for part in parts])
                elif self.pool == "mean":
                    means = [part.sum(axis=0, dtype=np.float64) for part in parts]
                    made[i][0] += np.hstack(means) / (len(pieces[i]) - lead)
                else:
                    out = made[i][start - lead : start - lead + len(r)]
                    out[:, :d], out[:, d : d + n] = x, r
                    if m:
                        out[:, d + n :] = parts[2]
        return made

    def _wrap(self, trajectories: Trajectories, outputs: Pieces, X: Any) -> Any:
        if self.pool is None:
            return super()._wrap(trajectories, outputs, X)
        # Pieces between gaps in time count by their rows.
        lead = self.min_context_ - 1
        counts = trajectories.groups([np.array(n) for n in trajectories.lengths])
        groups = trajectories.groups(outputs)
        return pooled(self, groups, [np.array(each) - lead for each in counts])


def pooled(
    transformer: Any,
    groups: list[list[np.ndarray]],
    weights: list[np.ndarray] | None = None,
) -> Any:
    """One table of the features of all trajectories, as `pool` says.

    Parameters
    ----------
    transformer : transformer
        With `pool`, "rows", "last" or "mean", and what it gives tables in.
    groups : list of lists of arrays (n_i, p)
        Features, for each piece of each trajectory.
    weights : list of arrays, default=None
        What the features of a trajectory count for in its mean; None is the same.

    Returns
    -------
    ndarray or DataFrame
        All rows one below the other, or one for each trajectory.
    """
    if transformer.pool == "rows":
        rows = np.concatenate([piece for group in groups for piece in group])
    elif transformer.pool == "last":
        rows = np.stack([group[-1][-1] for group in groups])
    else:
        # All its pieces, where gaps in time have cut a trajectory.
        means = [
            np.average(
                np.concatenate(group),
                axis=0,
                weights=None if weights is None else weights[i],
            )
            for i, group in enumerate(groups)
        ]
        rows = np.stack(means).astype(groups[0][0].dtype, copy=False)
    container = output_container(transformer)
    if container == "default":
        return rows
    return create_frame(container, rows, transformer.get_feature_names_out())
