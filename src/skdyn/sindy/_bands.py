"""Forecast bands: many models of the same terms, forecast together.

Models are those of an ensemble (`skdyn.sindy._ensemble`), or are drawn from what the
data leaves open of the coefficients of the one that is reported,

    xi* = xi + T (covariance)^(1/2) g,    g normal,  T = sqrt(f / chi²_f),

with the covariance and the degrees of freedom f of `skdyn.sindy._uncertainty`, which is
Student's t. All models start from all contexts at once: the coefficients of a lane are
an argument of the right-hand side,

    y_lane = Theta(x_lane, u) Xi_lane^T,

so a hundred models cost one batched integration.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skdyn.sindy._input_functions import Clocked

__all__ = ["drawn_coefficients", "forecasts_of"]


def drawn_coefficients(
    coef: np.ndarray, covariance: Any, n_models: int, rng: np.random.RandomState
) -> np.ndarray:
    """Coefficients (n_models, q, p) within what the data leaves open."""
    models = np.repeat(coef[None], n_models, axis=0)
    for j, (each, freedom) in enumerate(
        zip(covariance.covariance, covariance.freedom, strict=True)
    ):
        terms = np.flatnonzero(coef[j])
        if not len(terms):
            continue
        part = each[np.ix_(terms, terms)]
        # In units of each coefficient, so that small ones keep their digits.
        size = np.sqrt(np.diagonal(part))
        size = np.where(size > 0, size, 1.0)
        values, vectors = np.linalg.eigh(part / np.outer(size, size))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        normal = rng.standard_normal((n_models, len(terms)))
        tail = np.sqrt(freedom / rng.chisquare(freedom, n_models))
        models[:, j, terms] += tail[:, None] * (normal @ root.T) * size
    return models


def forecasts_of(
    model: Any, coefs: np.ndarray, states: np.ndarray, n_steps: int, u: Any
) -> np.ndarray:
    """Forecasts of models of the same terms.

    Parameters
    ----------
    model : SparseModel
        A fitted flow or map.
    coefs : ndarray of shape (n_models, q, p)
        Coefficients of the models.
    states : ndarray of shape (n_starts, d)
        Where all of them start.
    n_steps : int
        Rows to forecast.
    u : ndarray of shape (n_starts, n_steps, m), Clocked, or None
        Inputs.

    Returns
    -------
    ndarray of shape (n_models, n_starts, n_steps, d)
        NaN from where a model diverged.
    """
    library = model.library_
    active = np.flatnonzero((coefs != 0).any(axis=(0, 1)))
    lanes = np.ascontiguousarray(coefs[:, :, active])
    n_models, is_flow = len(coefs), model._kind == "flow"
    which = np.repeat(lanes, len(states), axis=0)

    def tiled(rows: np.ndarray) -> np.ndarray:
        return np.tile(rows, (n_models, *(1,) * (rows.ndim - 1)))

    def field(
        t: Any, y: np.ndarray, lane: np.ndarray, u: np.ndarray | None = None
    ) -> np.ndarray:
        values = library.values(y, u)[:, active]
        return np.einsum("np,nqp->nq", values, lane)

    def clocked(
        t: Any, y: np.ndarray, lane: np.ndarray, start: np.ndarray, of: np.ndarray
    ) -> np.ndarray:
        return field(t, y, lane, u.functions(start + t, of))

    def after(many: np.ndarray, k: int) -> np.ndarray:
        """The row after step k, (n_models * n_starts, d)."""
        if isinstance(u, Clocked):
            now = tiled(u.time + k * model.dt_), tiled(u.which)
            rows = model._solution(clocked, None, many, 1, (which, *now))
            return np.asarray(rows[:, 0])
        given = [which] if u is None else [which, tiled(u[:, k])]
        if is_flow:
            return np.asarray(model._solution(field, None, many, 1, given)[:, 0])
        return field(None, many, *given)

    many = tiled(states)
    with np.errstate(all="ignore"):
        if is_flow and u is None:
            rows = model._solution(field, None, many, n_steps, (which,))
        else:
            rows = np.empty((len(many), n_steps, many.shape[1]))
            for k in range(n_steps):
                rows[:, k] = many = after(many, k)
    rows = rows.reshape(n_models, len(states), n_steps, -1)
    lost = ~np.isfinite(rows).all(axis=3)
    rows[np.maximum.accumulate(lost, axis=2)] = np.nan
    return rows
