"""What is taken off a row is foretold by the rows before it: trends and seasons.

`Difference`, `Detrend` and `Deseasonalise` are one operation with different weights,

    y[k] = x[k] - sum_j a[j] x[k - j],     j = 1, ..., w,

whose inverse is the same sum read the other way,

    x[k] = y[k] + sum_j a[j] x[k - j].

The sum is what the last w rows foretell if nothing but the trend (or the season) went
on. Every property that a way back through a forecast needs follows:

* **Trajectories carry no clock**, and none is needed: where a context stands in time,
  and at which phase of the season, is read off its own last w rows. A context from
  anywhere, of any length from w + 1 rows, is treated as the training data was.
* The operation is linear and does not depend on the row number, so that linear dynamics
  come out as linear dynamics with the same eigenvalues.
* The same holds for their inputs, if these are filtered alike; the steps do not touch
  `u`.
* The inverse is exact, row by row, after the end of the training data and after any
  context; a longer forecast begins with a shorter one.

The weights a are the least-squares fit of a few functions (a polynomial, waves) to the
w rows before, read off one row later. With the functions as columns of B, one row of B
for each of the rows before, and their values at the present row b, that is the solution
of B' a = b with the smallest norm:

    a = B (B' B)^-1 b.

Of the zeros of z^w - sum_j a[j] z^(w - j), those that are not the functions' own, on
the unit circle, lie inside it (Kumaresan 1983; Bazan & Bezerra 1997): the inverse
continues trend and season, and damps everything else. (Where a function is fitted but
left in the data, as the level beside a season, its element of b is 0. Over whole
seasons it is orthogonal to the rest and changes nothing; for other windows the tests
look at the zeros.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import correlate1d
from scipy.signal import lfilter
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skdyn.base import TransformMixin
from skdyn.utils._sklearn import feature_names_in
from skdyn.utils._trajectories import (
    Trajectories,
    as_trajectories,
    check_trajectories,
)

__all__ = ["Trailing", "fifth", "least_squares_weights", "put_back", "take_off"]


class Trailing(TransformMixin, BaseEstimator):
    """A transformer whose rows are the difference to what the rows before foretell.

    A subclass writes ``_weights(trajectories)``: how the last rows foretell the next,
    the newest first. It may override `_take_off` and `_put_back` by something faster.
    """

    _allow_complex = True
    # What a message about too few rows advises.
    _advice = "lower its parameters"

    weights_: np.ndarray

    def fit(self, X: Any, y: Any = None) -> Any:
        """Choose the weights, and remember the last rows of each trajectory.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``min_context_`` rows.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        transformer
            The transformer itself.
        """
        trajectories = self._check_fit(X)
        self.weights_ = self._weights(trajectories)
        self.min_context_ = 1 + len(self.weights_)
        trajectories = self._check_fit(
            X, min_rows=self.min_context_, why_min_rows=self._why(self.min_context_)
        )
        self._check_values(trajectories)
        self._ends = trajectories.tails(self.min_context_ - 1 or 1)
        return self

    def _why(self, least: int) -> str:
        return (
            f"{type(self).__name__} makes one row out of {least}; pass longer "
            f"trajectories, or {self._advice}."
        )

    def _weights(self, trajectories: Trajectories) -> np.ndarray:
        raise NotImplementedError

    def _check_values(self, trajectories: Trajectories) -> None:
        """Refuse values that the transformer cannot take."""

    def _transform(self, x: np.ndarray) -> np.ndarray:
        return self._take_off(_double(x)).astype(x.dtype, copy=False)

    def _take_off(self, x: np.ndarray) -> np.ndarray:
        return take_off(x, self.weights_)

    def _put_back(self, y: np.ndarray, past: np.ndarray) -> np.ndarray:
        return put_back(y, past, self.weights_)

    def inverse_forecast(self, Y: Any, context: Any = None) -> Any:
        """Bring a forecast back: the rows after the end of a context.

        Together with the first ``min_context_ - 1`` rows as context it is also the
        whole inverse of ``transform``.

        Parameters
        ----------
        Y : array-like of shape (n_rows, n_features), list of these, or 3-D
            Transformed rows that follow the context; NaN passes through.
        context : array-like or list of array-likes, default=None
            The rows before, not transformed, in the form of `Y`: at least
            ``min_context_ - 1`` of them. One 2-D context may be followed by several
            `Y`. None means the training data.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of `Y`.

        Raises
        ------
        ValueError
            If the columns or the number of trajectories do not fit, or the context is
            too short.
        """
        check_is_fitted(self)
        data = as_trajectories(
            Y, name="Y", allow_complex=self._allow_complex, allow_nan=True
        )
        if data.n_features != self.n_features_in_:
            raise ValueError(
                f"inverse_forecast of {type(self).__name__} needs the "
                f"{self.n_features_in_} columns that transform gives, got "
                f"{data.n_features}."
            )
        n_past = self.min_context_ - 1
        if context is None:
            ends = self._ends
        else:
            ends = check_trajectories(
                self,
                context,
                reset=False,
                name="context",
                allow_complex=self._allow_complex,
                min_rows=n_past or 1,
                why_min_rows=self._why(self.min_context_),
            )
            self._check_values(ends)
            ends = ends.tails(n_past or 1)
        if len(ends) != len(data) and ends.form != "single":
            raise ValueError(
                f"inverse_forecast needs rows after each of {len(ends)} trajectories, "
                f"got {len(data)} in Y. Pass Y in the form of the context"
                f"{', which is the training data' if context is None else ''}."
            )
        # A view: nothing is taken where nothing of the past is needed.
        pasts = [piece[len(piece) - n_past :] for piece in ends.pieces]
        if len(pasts) < len(data):
            pasts = pasts * len(data)
        if isinstance(data.pieces, np.ndarray):
            return self._restore(data.pieces, np.stack(pasts))
        return data.join(
            [self._restore(y, past) for y, past in zip(data.pieces, pasts, strict=True)]
        )

    def _restore(self, y: np.ndarray, past: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            rows = self._put_back(_double(y), _double(past))
            return rows.astype(y.dtype if y.dtype.kind == "c" else _kind(y, rows))

    def inverse_transform(self, X: Any) -> Any:
        """Refuse: the way back needs the rows before, see `inverse_forecast`.

        Parameters
        ----------
        X : array-like
            Transformed rows.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(
            f"{type(self).__name__} has no way back for rows alone: it needs the "
            f"{self.min_context_ - 1} rows before them, not transformed. Call "
            f"inverse_forecast(Y, context=rows_before); a forecast through a pipeline "
            f"does so by itself."
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns: those of the features.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those of ``fit``.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "n_features_in_")
        return np.asarray(feature_names_in(self, input_features), dtype=object)


def take_off(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rows (..., n, d) less what the `w` rows before foretell: (..., n - w, d)."""
    w, n = len(weights), x.shape[-2]
    if not w:
        return x.copy()
    kernel = np.concatenate([-weights[::-1], [1.0]])
    # The centre of the kernel is at (w + 1) // 2; its last element is to meet row k.
    rows = correlate1d(x, kernel, axis=-2, mode="constant")
    start = (w + 1) // 2
    return rows[..., start : start + n - w, :]


def put_back(y: np.ndarray, past: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rows (..., h, d) that follow `past` (..., w, d): the inverse of `take_off`."""
    w = len(weights)
    if not w:
        return y.copy()
    # What the past adds to the next w rows is the state of the recursive filter.
    ahead = np.concatenate([past, np.zeros_like(past)], axis=-2)
    state = lfilter(np.r_[0.0, weights], [1.0], ahead, axis=-2)[..., w:, :]
    return lfilter([1.0], np.r_[1.0, -weights], y, axis=-2, zi=state)[0]


def least_squares_weights(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Weights of the rows before that foretell the present by a least-squares fit.

    Parameters
    ----------
    before : array of shape (w, n_functions)
        The functions at the rows before, the newest first; of full column rank.
    now : array of shape (n_functions,)
        The functions at the present row, or 0 for those that are to be left alone.

    Returns
    -------
    array of shape (w,)
    """
    q, r = np.linalg.qr(before)
    return q @ np.linalg.solve(r.T, now)


def fifth(trajectories: Trajectories) -> int:
    """A fifth of the shortest trajectory, what ``"auto"`` windows may take.

    Of the stretches between gaps in time, those below a tenth of the longest do not
    count, unless they are the last: they are left out for being short.
    """
    lengths = np.array(trajectories.lengths)
    last = min(trajectories.last_pieces().lengths)
    return int(min(last, lengths[lengths >= 0.1 * lengths.max()].min())) // 5


def _double(x: np.ndarray) -> np.ndarray:
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def _kind(y: np.ndarray, rows: np.ndarray) -> np.dtype:
    """The type of `y`, made complex where the past was."""
    return np.result_type(y, np.complex64) if rows.dtype.kind == "c" else y.dtype
