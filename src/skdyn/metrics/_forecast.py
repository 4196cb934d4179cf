"""How far a forecast holds: errors of whole forecast windows.

All functions take truth and forecast of shape (n_steps, n_features) or, for many
windows at once, (n_windows, n_steps, n_features), and give one number for each window.
They are built on the normalised error of one step (Pathak et al. 2018),

    e(k) = |y_pred[k] - y_true[k]| / scale,   scale = sqrt(mean |x - mean(x)|²),

where the scale is that of the whole test series, so that it does not depend on the
window. Every metric has a worst value, given where the forecast is NaN.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from skdyn.utils._trajectories import as_trajectories

__all__ = [
    "cumulative_max_error",
    "forecast_scale",
    "mase",
    "mase_scale",
    "normalized_error",
    "nrmse",
    "smape",
    "valid_prediction_time",
]


def forecast_scale(X: Any) -> float:
    """Root mean squared distance of the rows from their mean.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The series that the truth is a part of.

    Returns
    -------
    float
        ``sqrt(mean |x - mean(x)|²)``, in the units of the data.
    """
    rows = np.asarray(X)
    return float(np.sqrt(np.mean(np.sum(np.abs(rows - rows.mean(0)) ** 2, axis=-1))))


def normalized_error(y_true: Any, y_pred: Any, *, scale: float | None = None) -> Any:
    """e(k), the error of each step relative to the spread of the data.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_steps, n_features) or with windows in front
        Truth and forecast.
    scale : float, default=None
        See `forecast_scale`. None takes that of all of `y_true`.

    Returns
    -------
    ndarray of shape (n_steps,) or (n_windows, n_steps)
        Infinite where the forecast is not finite, or wrong while the scale is zero.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    truth, guess = _check_pair(y_true, y_pred)
    size = _scale_of(truth) if scale is None else float(scale)
    difference = guess - truth
    if difference.dtype.kind == "c":
        difference = np.concatenate([difference.real, difference.imag], axis=-1)
    with np.errstate(all="ignore"):
        error = np.sqrt(np.einsum("...i,...i->...", difference, difference))
        # 0 / 0 is a perfect forecast of a constant.
        error = np.where(error == 0, 0.0, error / size) if size == 0 else error / size
    return np.where(np.isfinite(error), error, np.inf)


def nrmse(
    y_true: Any, y_pred: Any, *, scale: float | None = None, worst: float = 10.0
) -> Any:
    """Normalised root mean squared error of each window: sqrt(mean over k of e(k)²).

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_steps, n_features) or with windows in front
        Truth and forecast.
    scale : float, default=None
        See `forecast_scale`. None takes that of all of `y_true`.
    worst : float, default=10.0
        Value given to NaN and to anything larger; an unstable model should lose by
        a bounded margin.

    Returns
    -------
    float, or ndarray of shape (n_windows,)
        From 0 (perfect); 1 is as good as the mean of the data; at most `worst`.

    Examples
    --------
    >>> from skdyn.metrics import nrmse
    >>> nrmse([[0.0], [2.0]], [[0.0], [1.0]], scale=1.0)
    0.7071067811865476
    """
    error = normalized_error(y_true, y_pred, scale=scale)
    with np.errstate(over="ignore"):
        return _plain(np.minimum(np.sqrt(np.mean(error**2, axis=-1)), worst))


def mase_scale(X: Any, *, seasonal_lag: int = 1) -> np.ndarray:
    """Mean absolute difference of rows one season apart, for each feature.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), list of these, or 3-D
        The series that the truth is a part of. No difference reaches from one
        trajectory into another.
    seasonal_lag : int, default=1
        Rows between the two; 1 is the error of persistence, one step ahead.

    Returns
    -------
    ndarray of shape (n_features,)
        ``mean |x[k] - x[k - seasonal_lag]|``, in the units of the data.

    Raises
    ------
    ValueError
        If no trajectory is longer than `seasonal_lag`, or `X` is not finite.

    Examples
    --------
    >>> from skdyn.metrics import mase_scale
    >>> mase_scale([[0.0], [1.0], [4.0]])
    array([2.])
    """
    whole = isinstance(seasonal_lag, Integral) and not isinstance(seasonal_lag, bool)
    if not whole or seasonal_lag < 1:
        raise ValueError(
            f"seasonal_lag needs a positive whole number, got {seasonal_lag!r}. Pass "
            f"the rows of a season, or 1."
        )
    data = as_trajectories(X, allow_complex=True, needs_last=False)
    lag = int(seasonal_lag)
    steps = np.concatenate([np.abs(x[lag:] - x[:-lag]) for x in data.pieces])
    if not len(steps):
        raise ValueError(
            f"mase_scale needs a trajectory of more than seasonal_lag={lag} rows, got "
            f"{max(data.lengths)}. Pass a longer one, or lower seasonal_lag."
        )
    return np.asarray(steps.mean(axis=0, dtype=np.float64))


def mase(
    y_true: Any,
    y_pred: Any,
    *,
    scale: Any = None,
    seasonal_lag: int = 1,
    worst: float = 1000.0,
) -> Any:
    """Mean absolute scaled error of each window.

    The mean over steps and features of ``|y_pred - y_true| / scale``, where the scale
    of a feature is the mean absolute error of repeating the value of one season ago.
    0 / 0 counts as 0.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_steps, n_features) or with windows in front
        Truth and forecast.
    scale : array-like of shape (n_features,), default=None
        See `mase_scale`. None takes that of `y_true`, window by window pooled; pass
        that of the whole test series (Hyndman & Koehler take the training series).
    seasonal_lag : int, default=1
        Rows of a season, where `scale` is None.
    worst : float, default=1000.0
        Value given to NaN and to anything larger. It is far out since one step of a
        finely sampled flow is small: a forecast of the mean may well have 100.

    Returns
    -------
    float, or ndarray of shape (n_windows,)
        From 0 (perfect); 1 is as good as one step of persistence; at most `worst`.

    References
    ----------
    Hyndman & Koehler, "Another look at measures of forecast accuracy", International
    Journal of Forecasting 22 (2006), 679.

    Examples
    --------
    >>> from skdyn.metrics import mase
    >>> mase([[0.0], [1.0], [4.0]], [[0.0], [3.0], [4.0]], scale=[2.0])
    0.3333333333333333
    """
    truth, guess = _check_pair(y_true, y_pred)
    if scale is None:
        scale = mase_scale(truth, seasonal_lag=seasonal_lag)
    size = np.asarray(scale, dtype=np.float64)
    if size.shape not in ((), (truth.shape[-1],)):
        raise ValueError(
            f"scale needs one number for each of {truth.shape[-1]} features, got shape "
            f"{size.shape}. Pass mase_scale of the whole series."
        )
    with np.errstate(all="ignore"):
        wrong = np.abs(guess - truth)
        error = np.where(wrong == 0, 0.0, wrong / size).mean(axis=(-2, -1))
    # NaN is worse than anything.
    return _plain(np.where(error < worst, error, worst))


def smape(y_true: Any, y_pred: Any) -> Any:
    """Symmetric mean absolute percentage error of each window, from 0 to 200.

    ``200 * mean(|y_pred - y_true| / (|y_pred| + |y_true|))`` over steps and features,
    where 0 / 0 counts as 0 and NaN as 200.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_steps, n_features) or with windows in front
        Truth and forecast.

    Returns
    -------
    float, or ndarray of shape (n_windows,)

    References
    ----------
    Gilpin, "Model scale versus domain knowledge in statistical forecasting of chaotic
    systems", Physical Review Research 5 (2023), 043252, section II.

    Examples
    --------
    >>> from skdyn.metrics import smape
    >>> smape([[1.0], [0.0]], [[3.0], [0.0]])
    50.0
    """
    truth, guess = _check_pair(y_true, y_pred)
    with np.errstate(all="ignore"):
        size = np.abs(guess)
        size += np.abs(truth)
        share = np.abs(guess - truth)
        share /= size
        if not np.isfinite(share.sum()):
            share = np.where(np.isfinite(share), share, 1.0)
            share[size == 0] = 0.0
    return _plain(200.0 * share.mean(axis=(-2, -1)))


def valid_prediction_time(
    y_true: Any,
    y_pred: Any,
    *,
    threshold: float = 0.4,
    scale: float | None = None,
    dt: float = 1.0,
    lyapunov_exponent: float | None = None,
) -> Any:
    """Time until the normalised error first passes a threshold.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_steps, n_features) or with windows in front
        Truth and forecast.
    threshold : float, default=0.4
        The error e(k) that ends a forecast; 0.4 is the field's habit.
    scale : float, default=None
        See `forecast_scale`. None takes that of all of `y_true`.
    dt : float, default=1.0
        Time between rows; with 1, the answer is in steps.
    lyapunov_exponent : float, default=None
        Largest exponent per unit time; where given, the answer is in Lyapunov times.

    Returns
    -------
    float, or ndarray of shape (n_windows,)
        From 0 (the first step is wrong) to ``n_steps * dt`` (censored: the forecast
        outlived the window).

    References
    ----------
    Pathak, Hunt, Girvan, Lu & Ott, "Model-free prediction of large spatiotemporally
    chaotic systems from data", Physical Review Letters 120 (2018), 024102.

    Examples
    --------
    >>> from skdyn.metrics import valid_prediction_time
    >>> truth, forecast = [[0.0], [0.0], [0.0]], [[0.1], [0.5], [0.0]]
    >>> valid_prediction_time(truth, forecast, scale=1.0, dt=0.01)
    0.01
    """
    error = normalized_error(y_true, y_pred, scale=scale)
    wrong = error > threshold
    steps = np.where(wrong.any(axis=-1), wrong.argmax(axis=-1), error.shape[-1])
    unit = dt if lyapunov_exponent is None else dt * lyapunov_exponent
    return _plain(steps * float(unit))


def cumulative_max_error(
    y_true: Any, y_pred: Any, *, scale: float | None = None
) -> Any:
    """One minus the mean of the running maximum of min(1, e(k)).

    It has no threshold, is bounded, and falls with every step at which a forecast is
    worse than it ever was before: the recommended objective of a search.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_steps, n_features) or with windows in front
        Truth and forecast.
    scale : float, default=None
        See `forecast_scale`. None takes that of all of `y_true`.

    Returns
    -------
    float, or ndarray of shape (n_windows,)
        From 0 (worthless from the first step) to 1 (perfect).

    Examples
    --------
    >>> from skdyn.metrics import cumulative_max_error
    >>> cumulative_max_error([[0.0], [0.0]], [[0.5], [0.0]], scale=1.0)
    0.5
    """
    error = np.minimum(normalized_error(y_true, y_pred, scale=scale), 1.0)
    return _plain(1.0 - np.maximum.accumulate(error, axis=-1).mean(axis=-1))


def _scale_of(truth: np.ndarray) -> float:
    return forecast_scale(truth.reshape(-1, truth.shape[-1]))


def _check_pair(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    truth, guess = np.asarray(y_true), np.asarray(y_pred)
    if truth.shape != guess.shape or truth.ndim not in (2, 3):
        raise ValueError(
            f"Truth and forecast need one shape, (n_steps, n_features) or (n_windows, "
            f"n_steps, n_features), got {truth.shape} and {guess.shape}."
        )
    return truth, guess


def _plain(value: Any) -> Any:
    """A float for one window, an array for many."""
    return float(value) if np.ndim(value) == 0 else value
