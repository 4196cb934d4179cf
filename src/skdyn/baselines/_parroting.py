"""Context parroting: find the moment that looked most like now, and copy what followed.

Algorithm (Zhang & Gilpin 2025, section 3), for rows x[1], ..., x[n] and a window of D
rows: among the earlier windows that do not overlap the last one, find the nearest,

    s = argmin over s <= n - D of  sum over j < D of |x[s - j] - x[n - j]|²,

and forecast x[n + h] = x[s + h]. When the copy reaches the last row, it goes on from
the copied rows themselves: since these are the last D rows again, it starts over from
row s + 1, so that a periodic signal is continued for ever. It is the oldest of analogue
forecasts (Lorenz 1969) with delay coordinates for the state.

In general the rows that are searched are those of several trajectories. A window in one
of them is a candidate where D rows of the same trajectory follow it (so that the end of
a trajectory is not compared with itself, a row shifted); a copy that reaches the end of
a trajectory goes on after the nearest candidate to the D rows there. For one trajectory
and its own end this is the rule above.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator

from skdyn.base import ForecasterMixin
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Pieces, Trajectories, windows

__all__ = ["ContextParroting"]

# The "auto" window, and the share of the longest trajectory that it may take.
_WINDOW, _SHARE = 10, 4
# Queries from which a tree pays, and distances that are held at once.
_FEW, _BLOCK = 16, 2_000_000


class ContextParroting(ForecasterMixin, BaseEstimator):
    """Forecast by copying what followed the most similar moment of the past.

    Nothing is fitted. On chaotic series it is tough to beat: what has been seen once
    comes back in detail.

    Parameters
    ----------
    window : int or "auto", default="auto"
        Rows that are compared, the last included. "auto" is 10, as in the authors'
        benchmarks, or a quarter of the longest training trajectory where that is less.
        A longer window tells states apart that look alike, a shorter one finds nearer
        matches.
    n_neighbors : int, default=1
        Matches whose continuations are averaged, with equal weights. 1 copies; a few
        more help against noise.
    search : {"training", "context"}, default="training"
        Where matches are looked for. "training": in the training trajectories, of
        which the context, whatever its length, shows its last `window` rows. "context":
        in each context alone, as the paper does: nothing but the window's length comes
        from ``fit``, and contexts need twice the window. For one training trajectory,
        ``predict(h)`` is the same for both.

    Attributes
    ----------
    window_ : int
        Rows that are compared.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: the window, or twice the window (and one
        for each neighbour after the first) where the context is searched.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts; all
        rows where the context is searched.

    See Also
    --------
    SeasonalNaive : Repeats the last season, whatever it looked like.

    Notes
    -----
    Distances are Euclidean over the rows and features of a window, in the units of the
    data: put a StandardScaler before features of different size. Of matches that are
    equally near the latest is taken. One-step predictions of the training data
    themselves are memory: nearly every window is found again.

    References
    ----------
    Zhang & Gilpin, "Context parroting: a simple but tough-to-beat baseline for
    foundation models in scientific machine learning", arXiv:2505.11349 (2025), section
    3, algorithm 1.

    Lorenz, "Atmospheric predictability as revealed by naturally occurring analogues",
    Journal of the Atmospheric Sciences 26 (1969), 636.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.baselines import ContextParroting
    >>> X = np.tile([0.0, 1.0, 5.0], 6)[:, None]
    >>> ContextParroting(window=4).fit(X).predict(5).ravel()
    array([0., 1., 5., 0., 1.])
    """

    _parameter_constraints: dict = {
        "window": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "search": [StrOptions({"training", "context"})],
    }

    def __init__(
        self,
        window: int | Literal["auto"] = "auto",
        *,
        n_neighbors: int = 1,
        search: Literal["training", "context"] = "training",
    ) -> None:
        self.window = window
        self.n_neighbors = n_neighbors
        self.search = search

    def fit(self, X: Any, y: Any = None) -> ContextParroting:
        """Remember the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``min_context_`` rows, one of them
            of at least twice the window.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        ContextParroting
            The estimator itself.

        Raises
        ------
        ValueError
            If there are fewer windows to choose from than neighbours to find.
        """
        self._validate_params()
        self._uses_whole_context = self.search == "context"
        window = self.window
        if window == "auto":
            trajectories, _ = self._check_fit(X, min_rows=1)
            window = self._auto_window(trajectories)
        self.window_ = self.min_context_ = int(window)
        self._k = int(self.n_neighbors)
        if self._uses_whole_context:
            self.min_context_ = 2 * self.window_ + self._k - 1
        # Stretches between gaps that are shorter are left out here, with a warning.
        trajectories, _ = self._check_fit(X, min_rows=max(self.min_context_, 2))
        if self._uses_whole_context:
            self._remember(trajectories, n_rows=max(trajectories.lengths))
        else:
            self._learn(trajectories.pieces)
            self._remember(trajectories)
        return self

    def _auto_window(self, trajectories: Trajectories) -> int:
        shortest = min(trajectories.last_pieces().lengths)
        longest = max(trajectories.lengths)
        if self.search == "context":
            longest = shortest
        return min(_WINDOW, max(longest // _SHARE, 1), shortest)

    def _learn(self, pieces: Pieces) -> None:
        """Keep all rows and, for each, the row that is copied after it."""
        D, k = self.window_, self._k
        self._rows = np.concatenate(list(pieces))
        stops = np.cumsum([len(piece) for piece in pieces])
        starts = stops - [len(piece) for piece in pieces]
        # Of each candidate, the row after it.
        self._follow = np.concatenate(
            [np.arange(a + D, b - D + 1) for a, b in zip(starts, stops, strict=True)]
        )
        if len(self._follow) < k:
            raise ValueError(
                f"ContextParroting(window={D}, n_neighbors={k}) needs at least {k} "
                f"window(s) that are followed by {D} rows in their trajectory, got "
                f"{len(self._follow)}. Pass longer trajectories (one of "
                f"{2 * D + k - 1} rows is enough), or lower window or n_neighbors."
            )
        self._next = np.arange(1, len(self._rows) + 1)
        # Only a trajectory that has candidates is ever copied to its end.
        ends = stops[stops - starts >= 2 * D]
        tails = np.stack([self._rows[end - D : end] for end in ends])
        self._next[ends - 1] = self._match(tails, 1)[:, 0]

    def _match(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Rows (batch, k) that follow the nearest candidates to (batch, D, d)."""
        candidates = windows(self._rows, self.window_)[self._follow - self.window_]
        found = _nearest(
            candidates.reshape(len(candidates), -1),
            queries.reshape(len(queries), -1),
            k,
        )
        return self._follow[found]

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        D, k = self.window_, self._k
        if not self._uses_whole_context:
            return self._match(contexts[:, -D:], k)
        n = contexts.shape[1]
        distances = np.zeros((len(contexts), n - 2 * D + 1))
        for lag in range(1, D + 1):
            earlier = contexts[:, D - lag : n - D - lag + 1]
            rest = earlier - contexts[:, n - lag, None]
            distances += np.einsum("bij,bij->bi", rest, rest)
        distances[np.isnan(distances)] = np.inf
        follow = _smallest(distances, k) + D
        # The state: the context, where each copy is, and where all of them start over.
        return np.hstack(
            [contexts.reshape(len(contexts), -1), follow, follow[:, :1]],
            dtype=np.float64,
        )

    def _begin_all(self, pieces: Pieces, past: Any) -> np.ndarray:
        if not self._uses_whole_context:
            return super()._begin_all(pieces, past)
        # Short contexts are filled up with NaN in front, which is far from everything.
        longest = max(len(piece) for piece in pieces)
        contexts = np.full((len(pieces), longest, self.n_features_in_), np.nan)
        for context, piece in zip(contexts, pieces, strict=True):
            context[longest - len(piece) :] = piece
        return self._begin(contexts, None)

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        if not self._uses_whole_context:
            return self._next[state], self._rows[state].mean(axis=1)
        contexts, here, over = self._split(state)
        row = _copied(contexts, here[:, None])[:, 0]
        here = np.where(here + 1 < contexts.shape[1], here + 1, over)
        state = state.copy()
        state[:, -self._k - 1 : -1] = here
        return state, row

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        if not self._uses_whole_context:
            walk = np.empty((n_steps, *state.shape), dtype=np.intp)
            for k in range(n_steps):
                walk[k], state = state, self._next[state]
            return self._rows[walk].mean(axis=2).swapaxes(0, 1)
        contexts, here, over = self._split(state)
        # Rows that lie beyond the end of the context, told modulo one turn.
        n, over = contexts.shape[1], over[:, None]
        rows = here[:, None] + np.arange(n_steps)[:, None]
        rows = np.where(rows < n, rows, over + (rows - n) % (n - over))
        return _copied(contexts, rows)

    def _split(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Contexts, the rows where copies are, and where they start over."""
        k = self._k
        contexts = state[:, : -k - 1].reshape(len(state), -1, self.n_features_in_)
        rows = state[:, -k - 1 :].astype(np.intp)
        return contexts, rows[:, :-1], rows[:, -1:]

    def _one_step(self, trajectories: Trajectories, u: Pieces | None) -> Pieces:
        if not self._uses_whole_context:
            return super()._one_step(trajectories, u)
        # What follows row i is told from the rows up to i: contexts of all lengths.
        outputs = []
        for piece in trajectories.pieces:
            ends = range(self.min_context_, len(piece) + 1)
            rows = [
                self._step(self._begin_all([piece[:end] for end in part], None), None)
                for part in (ends[i : i + 64] for i in range(0, len(ends), 64))
            ]
            outputs.append(np.concatenate([y for _, y in rows]))
        return [rows.astype(trajectories.dtype) for rows in outputs]


def _copied(contexts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Means over the last axis of the rows (batch, n, k) of contexts."""
    return contexts[np.arange(len(contexts))[:, None, None], rows].mean(axis=2)


def _nearest(candidates: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Indices (n, k) of the nearest candidates, of equally near ones the latest."""
    found = np.empty((len(queries), k), dtype=np.intp)
    unclear = np.arange(len(queries))
    if len(queries) > _FEW and len(candidates) > k:
        distances, near = cKDTree(candidates).query(queries, k + 1)
        found[:] = near[:, :k]
        # A tree takes any of several that are equally near.
        unclear = np.flatnonzero((np.diff(distances, axis=1) <= 0).any(axis=1))
    size = max(1, _BLOCK // len(candidates))
    for start in range(0, len(unclear), size):
        part = unclear[start : start + size]
        distances = cdist(queries[part], candidates, "sqeuclidean")
        found[part] = _smallest(distances, k)
    return found


def _smallest(distances: np.ndarray, k: int) -> np.ndarray:
    """Columns (n, k) of the least entries of each row, the last of equals first."""
    turned = distances[:, ::-1].copy() if k > 1 else distances[:, ::-1]
    picks = []
    for _ in range(k):
        pick = turned.argmin(axis=1)
        picks.append(distances.shape[1] - 1 - pick)
        if k > 1:
            turned[np.arange(len(turned)), pick] = np.inf
    return np.stack(picks, axis=1)
