"""Piecewise-linear maps taken apart: fixed points, cycles, regions and symbols.

Equations: a map of rectified units,

    F(z) = A z + W1 relu(W2 z + h2) + h1,

is linear wherever no row of W2 z + h2 (no *hinge*) changes its sign. In the region with
the pattern D = diag(W2 z + h2 > 0),

    F(z) = J z + b,    J = A + W1 D W2,    b = W1 D h2 + h1.

Other forms of the piecewise-linear network (PLRNN) are such maps too:

* clipped, W1 (relu(W2 z + h2) - relu(W2 z)): twice as many hinges, (W2, W2), (h2, 0)
  and (W1, -W1);
* dendritic, W sum_b alpha_b relu(z - H_b): the hinges of all units of all bases b;
* almost linear, W phi(z) with phi = relu on the last P units, the identity elsewhere:
  the columns of W that stay linear go into A, and P hinges are left.

A cycle of period k through regions D_1, ..., D_k solves one linear equation,

    z_1 = J_k ... J_1 z_1 + (b_k + J_k b_{k-1} + ... + J_k ... J_2 b_1),

and is one of F where its points lie in these regions. The search of Eisenmann et al.
(2023) solves for a guess of D_1, ..., D_k, and takes the regions in which the points
of the solution lie as its next guess, until both agree. That is Newton's method on all
points at once, and exact where it ends. Here guesses are sequences of regions that
orbits have passed, close returns among them first; and where there are few enough
regions, all sequences of them are tried, which makes the answer complete.

References
----------
Eisenmann, Monfared, Göring & Durstewitz, "Bifurcations and loss jumps in RNN training",
NeurIPS (2023).

Brenner, Hess, Mikhaeil, Bereska, Monfared, Kuo & Durstewitz, "Tractable dendritic RNNs
for reconstructing nonlinear dynamical systems", ICML (2022).

Hess, Monfared, Brenner & Durstewitz, "Generalized teacher forcing for learning chaotic
dynamics", ICML (2023).

Brenner, Hemmer, Monfared & Durstewitz, "Almost-linear RNNs yield highly interpretable
symbolic codes in dynamical systems reconstruction", NeurIPS (2024).

Lathrop & Kostelich, "Characterization of an experimental strange attractor by periodic
orbits", Physical Review A 40 (1989), 4028, for close returns.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from scipy.linalg import matrix_balance
from scipy.sparse.linalg import eigs
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skdyn.inspection import FixedPoints
from skdyn.neural._region_search import (
    all_regions,
    distinct,
    guesses,
    in_units,
    natural_units,
    runs_from_hinges,
    search,
    solve,
    spread_of,
    try_all,
    until_away,
)

__all__ = [
    "LinearRegions",
    "LinearRegionsMixin",
    "PiecewiseLinearCycles",
    "PiecewiseLinearMap",
]

# An eigenvalue this near to one: the point may have neighbours that are fixed.
_SINGULAR = 1e-7

Rows = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class PiecewiseLinearMap:
    """The map z -> A z + W1 relu(W2 z + h2) + h1, taken apart.

    Parameters
    ----------
    A : array-like of shape (n_state,) or (n_state, n_state)
        The linear part; its diagonal where it has but one axis.
    W1 : array-like of shape (n_state, n_hinges)
        What each hinge adds to each state once it is open.
    W2 : array-like of shape (n_hinges, n_state)
        Normals of the hinges.
    h1 : array-like of shape (n_state,)
        What every step adds.
    h2 : array-like of shape (n_hinges,)
        Offsets of the hinges.

    Raises
    ------
    ValueError
        If shapes do not go together, or a number is not finite.

    See Also
    --------
    skdyn.inspection.lyapunov_spectrum : Takes such a map as it is.

    References
    ----------
    Eisenmann, Monfared, Göring & Durstewitz, "Bifurcations and loss jumps in RNN
    training", NeurIPS (2023).

    Examples
    --------
    The skew tent map, 2 z below 1/2 and 2 - 2 z above:

    >>> from skdyn.neural import PiecewiseLinearMap
    >>> tent = PiecewiseLinearMap([2.0], [[-4.0]], [[1.0]], [0.0], [-0.5])
    >>> tent([[0.2], [0.7]])
    array([[0.4],
           [0.6]])
    >>> tent.fixed_points()
    PiecewiseLinearCycles(2 points, 0 stable; complete: all 2 regions tried)
    >>> tent.fixed_points(3).cycles.round(4).tolist()
    [[[0.2222], [0.4444], [0.8889]], [[0.2857], [0.5714], [0.8571]]]
    """

    A: np.ndarray
    W1: np.ndarray
    W2: np.ndarray
    h1: np.ndarray
    h2: np.ndarray

    def __post_init__(self) -> None:
        values = {}
        for name in ("A", "W1", "W2", "h1", "h2"):
            # A copy that nobody else can change.
            value = np.array(getattr(self, name), dtype=np.float64)
            if not np.isfinite(value).all():
                raise ValueError(
                    f"PiecewiseLinearMap needs finite numbers, got NaN or inf in "
                    f"{name}."
                )
            values[name] = value
        if values["A"].ndim == 1:
            values["A"] = np.diag(values["A"])
        M, H = len(values["h1"]), len(values["h2"])
        needed = {"A": (M, M), "W1": (M, H), "W2": (H, M), "h1": (M,), "h2": (H,)}
        for name, shape in needed.items():
            if values[name].shape != shape:
                raise ValueError(
                    f"PiecewiseLinearMap of {M} states and {H} hinges (the lengths of "
                    f"h1 and h2) needs {name} of shape {shape}, got "
                    f"{values[name].shape}."
                )
            values[name].setflags(write=False)
            object.__setattr__(self, name, values[name])

    @classmethod
    def shallow(cls, A: Any, W1: Any, W2: Any, h1: Any, h2: Any) -> PiecewiseLinearMap:
        """Of the shallow form A z + W1 relu(W2 z + h2) + h1, as it is."""
        return cls(A, W1, W2, h1, h2)

    @classmethod
    def clipped(cls, A: Any, W1: Any, W2: Any, h1: Any, h2: Any) -> PiecewiseLinearMap:
        """Of the clipped form A z + W1 (relu(W2 z + h2) - relu(W2 z)) + h1.

        Its hinges are those of the first relu, then those of the second.
        """
        W1, W2, h2 = np.asarray(W1), np.asarray(W2), np.asarray(h2)
        return cls(
            A,
            np.concatenate([W1, -W1], axis=-1),
            np.concatenate([W2, W2]),
            h1,
            np.concatenate([h2, np.zeros_like(h2)]),
        )

    @classmethod
    def dendritic(
        cls, A: Any, W: Any, alphas: Any, thresholds: Any, h: Any
    ) -> PiecewiseLinearMap:
        """Of the dendritic form A z + W sum_b alphas[b] relu(z - thresholds[b]) + h.

        Parameters
        ----------
        A : array-like of shape (n_state,) or (n_state, n_state)
            The linear part.
        W : array-like of shape (n_state, n_state)
            Couplings.
        alphas : array-like of shape (n_bases,)
            Weights of the bases.
        thresholds : array-like of shape (n_bases, n_state)
            Where each unit of each basis opens.
        h : array-like of shape (n_state,)
            What every step adds.

        Returns
        -------
        PiecewiseLinearMap
            Its hinges are those of the first basis, then those of the second...
        """
        W, thresholds = np.asarray(W), np.asarray(thresholds)
        n_bases, n_state = thresholds.shape
        return cls(
            A,
            np.concatenate([alpha * W for alpha in np.asarray(alphas)], axis=1),
            np.tile(np.eye(n_state), (n_bases, 1)),
            h,
            -thresholds.ravel(),
        )

    @classmethod
    def almost_linear(cls, A: Any, W: Any, h: Any, n_relu: int) -> PiecewiseLinearMap:
        """Of the form A z + W phi(z) + h, with rectified units last.

        Parameters
        ----------
        A : array-like of shape (n_state,) or (n_state, n_state)
            The linear part.
        W : array-like of shape (n_state, n_state)
            Couplings.
        h : array-like of shape (n_state,)
            What every step adds.
        n_relu : int
            So many units, the last ones, are rectified: phi is relu on these, and the
            identity on the others.

        Returns
        -------
        PiecewiseLinearMap
            Its `n_relu` hinges are the rectified units.
        """
        A, W = np.array(A, dtype=np.float64), np.asarray(W)
        A = np.diag(A) if A.ndim == 1 else A
        n_state = len(A)
        if not 0 <= n_relu <= n_state:
            raise ValueError(
                f"almost_linear needs n_relu between 0 and the {n_state} units, got "
                f"{n_relu!r}."
            )
        linear = n_state - n_relu
        A[:, :linear] += W[:, :linear]
        return cls(A, W[:, linear:], np.eye(n_state)[linear:], h, np.zeros(n_relu))

    @property
    def n_state(self) -> int:
        """Number of states."""
        return len(self.h1)

    @property
    def n_hinges(self) -> int:
        """Number of hinges."""
        return len(self.h2)

    def __call__(self, z: Any) -> np.ndarray:
        """One step of states (..., n_state)."""
        z = np.asarray(z, dtype=np.float64)
        opened = np.maximum(z @ self.W2.T + self.h2, 0.0)
        return z @ self.A.T + opened @ self.W1.T + self.h1

    def __repr__(self) -> str:
        return f"PiecewiseLinearMap({self.n_state} states, {self.n_hinges} hinges)"

    def patterns(self, z: Any) -> np.ndarray:
        """Which hinges are open in states (..., n_state): bool (..., n_hinges)."""
        return np.asarray(np.asarray(z, dtype=np.float64) @ self.W2.T + self.h2 > 0)

    def region(self, patterns: Any) -> tuple[np.ndarray, np.ndarray]:
        """The linear maps of regions.

        Parameters
        ----------
        patterns : array-like of bool of shape (..., n_hinges)
            Which hinges are open.

        Returns
        -------
        J : ndarray of shape (..., n_state, n_state)
        b : ndarray of shape (..., n_state)
            In the region, a step is ``J @ z + b``.
        """
        D = np.asarray(patterns, dtype=np.float64)
        M = self.n_state
        # One product of matrices for all regions: hinge by hinge, what it adds to J.
        each = (self.W1.T[:, :, None] * self.W2[:, None, :]).reshape(-1, M * M)
        J = self.A + (D @ each).reshape(*D.shape[:-1], M, M)
        return J, D @ (self.W1 * self.h2).T + self.h1

    def jacobian(self, z: Any) -> np.ndarray:
        """Derivative of a step at states (..., n_state): (..., n_state, n_state)."""
        return self.region(self.patterns(z))[0]

    def orbit(self, z: Any, n_steps: int) -> np.ndarray:
        """States (n_steps, ..., n_state) from `z` on, itself included."""
        z = np.asarray(z, dtype=np.float64)
        states = np.empty((n_steps, *z.shape))
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(n_steps):
                states[t] = z
                z = self(z)
        return states

    def fixed_points(
        self,
        period: int = 1,
        *,
        orbits: Any = None,
        n_starts: int = 512,
        max_iter: int = 50,
        max_sequences: int = 500_000,
        random_state: int | np.random.RandomState | None = 0,
        dt: float = 1.0,
    ) -> PiecewiseLinearCycles:
        """Fixed points, or cycles of one period, with the regions that they pass.

        Where there are few regions, all sequences of them are tried, and the answer is
        complete. Else the search starts from `n_starts` sequences: half of them are
        parts of orbits, in which close returns come first; a quarter are regions of
        these orbits in random order; a quarter are regions drawn from everywhere. More
        starts may find more, and `PiecewiseLinearCycles.unseen` tells how likely.

        Parameters
        ----------
        period : int, default=1
            1 for fixed points; more for cycles of this period and of no shorter one.
        orbits : array-like of shape (n_samples, n_state), or list of such, default=None
            States that follow one another, for the search to start from: those along
            the data, or of a free run. None runs some from hinges.
        n_starts : int, default=512
            Sequences of regions that the search starts from.
        max_iter : int, default=50
            Guesses that each start is followed by.
        max_sequences : int, default=500_000
            All sequences of regions are tried where there are no more than these; 0
            always searches.
        random_state : int, RandomState instance or None, default=0
            Seed of the search.
        dt : float, default=1.0
            Time of a step.

        Returns
        -------
        PiecewiseLinearCycles

        Raises
        ------
        ValueError
            If a parameter is out of range, or `orbits` do not fit.

        Warns
        -----
        ConvergenceWarning
            If a search that is not complete ends nowhere.

        References
        ----------
        Eisenmann, Monfared, Göring & Durstewitz, "Bifurcations and loss jumps in RNN
        training", NeurIPS (2023).

        Examples
        --------
        A cycle that attracts and one that repels, of the same period:

        >>> from skdyn.neural import PiecewiseLinearMap
        >>> plrnn = PiecewiseLinearMap(
        ...     [0.8377689, 0.96461297],
        ...     [[0, -0.64375], [0.52505308, 0]],
        ...     [[1, 0], [0, 1]],
        ...     [0.37298253, -0.97931491],
        ...     [0, 0],
        ... )
        >>> cycles = plrnn.fixed_points(16)
        >>> len(cycles), cycles.is_stable.tolist()
        (2, [False, True])
        """
        _check_whole(period, "period", 1)
        _check_whole(n_starts, "n_starts", 1)
        _check_whole(max_iter, "max_iter", 1)
        _check_whole(max_sequences, "max_sequences", 0)
        pieces = _check_orbits(orbits, self.n_state)
        return _find(
            self,
            period,
            pieces,
            n_starts,
            max_iter,
            max_sequences,
            check_random_state(random_state),
            dt,
            lambda z: z,
        )

    def linear_regions(self, orbits: Any, *, dt: float = 1.0) -> LinearRegions:
        """Regions that orbits pass, and in which order.

        Parameters
        ----------
        orbits : array-like of shape (n_samples, n_state), or list of such
            States that follow one another.
        dt : float, default=1.0
            Time of a step.

        Returns
        -------
        LinearRegions

        Examples
        --------
        >>> from skdyn.neural import PiecewiseLinearMap
        >>> tent = PiecewiseLinearMap([1.9], [[-3.8]], [[1.0]], [0.0], [-0.5])
        >>> regions = tent.linear_regions(tent.orbit([0.3], 20_000))
        >>> regions
        LinearRegions(2 visited in 20000 states, of 1 hinges)
        >>> round(regions.entropy_rate(6), 2)  # the exponent is log 1.9 = 0.64
        0.64
        """
        pieces = _check_orbits(orbits, self.n_state)
        if pieces is None:
            raise ValueError("linear_regions needs orbits, got None.")
        return _visited(self, pieces, dt)


@dataclass(frozen=True, eq=False, repr=False)
class PiecewiseLinearCycles(FixedPoints):
    """Fixed points of a piecewise-linear map, or its cycles of one period.

    All that `skdyn.inspection.FixedPoints` has, and the regions.

    Attributes
    ----------
    states, points, cycles, eigenvalues, is_stable, is_isolated
        See `skdyn.inspection.FixedPoints`. Eigenvalues are those of the product of the
        Jacobians along the cycle.
    residuals : ndarray of shape (n_points,)
        How far each cycle is from being one: the largest ``max |F(z) - z'|`` of its
        steps, each coordinate in units of its spread.
    n_starts, n_converged : int
        Sequences of regions that were tried or started from, and those that led to one
        of the list.
    period, dt, is_flow
        See `skdyn.inspection.FixedPoints`; it is no flow.
    orbits : ndarray of shape (n_points, period, n_state)
        The states of each cycle in turn, those of `states` first.
    patterns : bool ndarray of shape (n_points, period, n_hinges)
        Which hinges are open along each cycle: the regions that it passes.
    margins : ndarray of shape (n_points,)
        How far each cycle stays from all hinges, in the units of the states. Where this
        comes to zero under a change of parameters, the cycle collides with a border of
        regions, and may appear, vanish or change its stability.
    counts : int ndarray of shape (n_points,)
        How many starts led to each cycle.
    is_complete : bool
        Whether these are all: each sequence of regions was tried, and none had
        equations with many solutions, or closed but for rounding. Regions thinner than
        about 1e-8, relative to the distances between hinges, do not count. False says
        nothing: all may be there.
    n_regions : int or None
        Regions that there are; None where they were not counted.
    """

    orbits: np.ndarray
    patterns: np.ndarray
    margins: np.ndarray
    counts: np.ndarray
    is_complete: bool
    n_regions: int | None

    @property
    def unseen(self) -> float:
        """Share of successful starts that is expected to lead to cycles not listed.

        The estimate of Good and Turing, for more starts of the same kind: the share
        that cycles found only once have of the successful starts. 0 where the answer
        is complete; nan where no start led anywhere.
        """
        if self.is_complete:
            return 0.0
        if not self.n_converged:
            return math.nan
        return float(np.sum(self.counts == 1)) / self.n_converged

    def __repr__(self) -> str:
        n, stable = len(self), int(self.is_stable.sum())
        what = "points" if self.period == 1 else f"cycles of period {self.period}"
        if self.is_complete:
            kind = "regions" if self.period == 1 else "sequences of regions"
            how = f"complete: all {self.n_starts} {kind} tried"
        else:
            how = f"{self.n_converged} of {self.n_starts} starts converged"
        return f"PiecewiseLinearCycles({n} {what}, {stable} stable; {how})"


@dataclass(frozen=True, eq=False, repr=False)
class LinearRegions:
    """Linear regions that orbits visit, as an alphabet, and what they spell.

    Attributes
    ----------
    patterns : bool ndarray of shape (n_regions, n_hinges)
        Which hinges are open in each region visited; the most visited region first.
    symbols : tuple of int ndarrays of shape (n_samples,)
        For each orbit, the region of each state: a row of `patterns`.
    counts : int ndarray of shape (n_regions,)
        Visits of each region.
    transitions : scipy.sparse.csr_array of int of shape (n_regions, n_regions)
        How often the row's region was followed by the column's, itself included.
    jacobians : ndarray of shape (n_regions, n_state, n_state)
    offsets : ndarray of shape (n_regions, n_state)
        In a region, a step is ``jacobian @ z + offset``.
    dt : float
        Time of a step.

    References
    ----------
    Brenner, Hemmer, Monfared & Durstewitz, "Almost-linear RNNs yield highly
    interpretable symbolic codes in dynamical systems reconstruction", NeurIPS (2024).

    Lind & Marcus, *An Introduction to Symbolic Dynamics and Coding*, Cambridge (1995),
    chapter 4, for the entropy of a graph.
    """

    patterns: np.ndarray
    symbols: tuple[np.ndarray, ...]
    counts: np.ndarray
    transitions: scipy.sparse.csr_array
    jacobians: np.ndarray
    offsets: np.ndarray
    dt: float

    def __len__(self) -> int:
        return len(self.patterns)

    def __repr__(self) -> str:
        return (
            f"LinearRegions({len(self)} visited in {int(self.counts.sum())} states, of "
            f"{self.patterns.shape[1]} hinges)"
        )

    @property
    def eigenvalues(self) -> np.ndarray:
        """Of each Jacobian, complex (n_regions, n_state), in decreasing modulus."""
        return _ordered(np.linalg.eigvals(self.jacobians))

    @property
    def centres(self) -> np.ndarray:
        """Where each region's linear map stands still, (n_regions, n_state).

        The state need not lie in the region: a *virtual* fixed point still attracts,
        repels or turns what is in the region. nan where there is none or a line.
        """
        A = np.eye(self.jacobians.shape[-1]) - self.jacobians
        # In units in which the states act on one another alike.
        units = matrix_balance(
            np.abs(self.jacobians).max(axis=0), permute=False, separate=True
        )[1][0]
        z, sure = solve(A * units / units[:, None], self.offsets / units)
        return np.where(sure[:, None], z * units, np.nan)

    @property
    def topological_entropy(self) -> float:
        """Entropy of the graph of transitions seen, per unit time, in nats.

        The growth rate of the number of words that the graph allows: the logarithm of
        the spectral radius of its matrix of zeros and ones. It is an upper bound of
        that of the orbit's own words, close where a symbol decides what may follow, and
        no estimate of the map's topological entropy where regions are many or a few
        symbols stand for much.
        """
        allowed = (self.transitions > 0).astype(np.float64)
        n = allowed.shape[0]
        if n <= 500:
            radius = np.abs(np.linalg.eigvals(allowed.toarray())).max(initial=0.0)
        else:
            radius = np.abs(eigs(allowed, k=1, v0=np.ones(n), tol=1e-8)[0]).max()
        return math.log(radius) / self.dt if radius > 1 else 0.0

    def words(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Words of `length` symbols in a row that occur, and how often.

        Parameters
        ----------
        length : int
            Symbols of a word.

        Returns
        -------
        words : int ndarray of shape (n_words, length)
            In the order of the alphabet.
        counts : int ndarray of shape (n_words,)
        """
        _check_whole(length, "length", 1)
        views = [
            np.lib.stride_tricks.sliding_window_view(s, length)
            for s in self.symbols
            if len(s) >= length
        ]
        if not views:
            raise ValueError(
                f"Words of {length} symbols need an orbit of as many states, got "
                f"{max(map(len, self.symbols))} in the longest."
            )
        return np.unique(np.concatenate(views), axis=0, return_counts=True)

    def block_entropy(self, length: int) -> float:
        """Shannon's entropy of words of `length` symbols, in nats.

        From the shares of the words seen, without a correction: too low where there
        are not many more states than words.
        """
        counts = self.words(length)[1]
        share = counts / counts.sum()
        return float(-(share * np.log(share)).sum())

    def entropy_rate(self, length: int = 2) -> float:
        """New information of a symbol after the last ``length - 1``, per unit time.

        The entropy of words of `length` symbols less that of words shorter by one, in
        nats. For a partition that tells orbits apart it falls, with `length`, towards
        the metric entropy, which for a chaotic map is at most the sum of its positive
        Lyapunov exponents.
        """
        _check_whole(length, "length", 2)
        return (self.block_entropy(length) - self.block_entropy(length - 1)) / self.dt


class LinearRegionsMixin:
    """Fixed points, cycles and regions of forecasters with a piecewise-linear step.

    The forecaster writes ``_piecewise_linear(u)``, the arrays A, W1, W2, h1 and h2 of a
    step under a constant input or none, and has ``B_``, ``mean_`` and ``scale_``: rows
    are ``mean_ + scale_ * (B_ @ z)``, and z is the state of its ``_begin``.
    """

    def fixed_points(
        self,
        period: int = 1,
        *,
        X: Any = None,
        u: Any = None,
        n_starts: int = 512,
        n_steps: int = 2_000,
        max_iter: int = 50,
        max_sequences: int = 500_000,
        random_state: int | np.random.RandomState | None = 0,
        dt: float | None = None,
    ) -> PiecewiseLinearCycles:
        """Fixed points of the learned map, or its cycles of one period.

        They solve linear equations, and are exact to rounding. Where the map has few
        linear regions, all are tried, and the answer is complete (`is_complete`). Else
        the search starts from regions that a free run passes, and the data `X`.

        Parameters
        ----------
        period : int, default=1
            1 for fixed points; more for cycles of this period and of no shorter one.
        X : array-like or list of array-likes, default=None
            Data along which the search starts, too.
        u : array-like of shape (n_inputs,), default=None
            A constant input, for a model that was fitted with inputs.
        n_starts : int, default=512
            Sequences of regions that a search starts from.
        n_steps : int, default=2_000
            Steps of the free run after each training trajectory.
        max_iter : int, default=50
            Guesses that each start is followed by.
        max_sequences : int, default=500_000
            All sequences of regions are tried where there are no more than these; 0
            always searches.
        random_state : int, RandomState instance or None, default=0
            Seed of the search.
        dt : float, default=None
            Time of a step, for growth rates. None takes the model's own, else 1.

        Returns
        -------
        PiecewiseLinearCycles
            States in the model's own coordinates, points and cycles in the units of the
            data.

        Raises
        ------
        ValueError
            If a parameter is out of range, or a model with inputs gets no `u`.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.

        Warns
        -----
        ConvergenceWarning
            If a search that is not complete ends nowhere.

        See Also
        --------
        skdyn.inspection.fixed_points : Newton's method, for any forecaster.

        References
        ----------
        Eisenmann, Monfared, Göring & Durstewitz, "Bifurcations and loss jumps in RNN
        training", NeurIPS (2023).
        """
        check_is_fitted(self)
        _check_whole(period, "period", 1)
        _check_whole(n_starts, "n_starts", 1)
        _check_whole(n_steps, "n_steps", 1)
        _check_whole(max_iter, "max_iter", 1)
        _check_whole(max_sequences, "max_sequences", 0)
        plmap = self._linear_map(u)
        with np.errstate(all="ignore"):
            units, of_hinges = natural_units(plmap)
            inner = in_units(plmap, units, of_hinges)
            runs = until_away(inner, _last_states(self) / units, n_steps + 1)
            pieces = [run * units for run in runs]
        if X is not None:
            pieces += _states_along(self, X, u)
        return _find(
            plmap,
            period,
            pieces,
            n_starts,
            max_iter,
            max_sequences,
            check_random_state(random_state),
            _unit(self, dt),
            self._rows_of,
        )

    def linear_regions(
        self,
        X: Any = None,
        *,
        u: Any = None,
        n_steps: int = 10_000,
        dt: float | None = None,
    ) -> LinearRegions:
        """Linear regions that a free run or data pass, and in which order.

        Parameters
        ----------
        X : array-like or list of array-likes, default=None
            Rows whose regions are told: of the states that forecasts after them start
            from, so from row ``min_context_ - 1`` on. None takes a free run.
        u : array-like of shape (n_inputs,), default=None
            A constant input, for a model that was fitted with inputs.
        n_steps : int, default=10_000
            Without `X`: steps of the free run after each training trajectory.
        dt : float, default=None
            Time of a step, for entropies. None takes the model's own, else 1.

        Returns
        -------
        LinearRegions

        Raises
        ------
        ValueError
            If a parameter is out of range, a model with inputs gets no `u`, or a free
            run runs away.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.

        References
        ----------
        Brenner, Hemmer, Monfared & Durstewitz, "Almost-linear RNNs yield highly
        interpretable symbolic codes in dynamical systems reconstruction", NeurIPS
        (2024).
        """
        check_is_fitted(self)
        _check_whole(n_steps, "n_steps", 1)
        plmap = self._linear_map(u)
        if X is not None:
            return _visited(plmap, _states_along(self, X, u), _unit(self, dt))
        orbits = plmap.orbit(_last_states(self), n_steps + 1)[1:].swapaxes(0, 1)
        if not np.isfinite(orbits).all():
            raise ValueError(
                f"linear_regions needs a free run that stays finite, got one of "
                f"{type(self).__name__} that runs away. Pass X for the regions along "
                f"data, or fewer n_steps."
            )
        return _visited(plmap, list(orbits), _unit(self, dt))

    def _linear_map(self, u: Any) -> PiecewiseLinearMap:
        """The map of a step under a constant input, or none."""
        own: Any = self
        n_inputs = getattr(own, "n_inputs_", 0)
        name = type(self).__name__
        if u is None:
            if n_inputs:
                raise ValueError(
                    f"{name} was fitted with {n_inputs} input(s), got no u. Pass "
                    f"u=... of shape ({n_inputs},), a constant input: its map is "
                    f"another at each."
                )
            return PiecewiseLinearMap(*own._piecewise_linear())
        if not n_inputs:
            raise ValueError(f"{name} was fitted without inputs, got u. Drop u.")
        u = np.asarray(u, dtype=np.float64)
        if u.shape != (n_inputs,) or not np.isfinite(u).all():
            raise ValueError(
                f"{name} needs one constant input u of shape ({n_inputs},), finite, "
                f"got shape {u.shape}."
            )
        return PiecewiseLinearMap(*own._piecewise_linear(u))

    def _rows_of(self, states: np.ndarray) -> np.ndarray:
        """Rows (..., n_features) in the units of the data, of states."""
        own: Any = self
        return np.asarray(own.mean_ + own.scale_ * (states @ own.B_.T))


def _last_states(model: Any) -> np.ndarray:
    """States (n_trajectories, n_state) after the training trajectories."""
    states = model._begin_all(model.context_.pieces, model._past_inputs)
    return np.asarray(states, dtype=np.float64)


def _states_along(model: Any, X: Any, u: Any) -> list[np.ndarray]:
    """States (n, n_state) that forecasts after the rows of data start from."""
    least = model.min_context_
    states = []
    for piece in model._check_context(X).pieces:
        views = np.lib.stride_tricks.sliding_window_view(piece, least, axis=0)
        rows = np.ascontiguousarray(views.swapaxes(1, 2))
        past = None
        if u is not None:
            given = np.asarray(u, dtype=np.float64)
            past = np.broadcast_to(given, (len(rows), least - 1, len(given)))
        states.append(np.asarray(model._begin(rows, past), dtype=np.float64))
    return states


# -- the door ----------------------------------------------------------------------


def _check_whole(value: Any, name: str, least: int) -> None:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(
            f"{name} needs a whole number of at least {least}, got {value!r}."
        )


def _check_orbits(orbits: Any, n_state: int) -> list[np.ndarray] | None:
    if orbits is None:
        return None
    listed = isinstance(orbits, (list, tuple)) and np.ndim(orbits[0]) == 2
    pieces = [np.asarray(each, np.float64) for each in (orbits if listed else [orbits])]
    for piece in pieces:
        if piece.ndim != 2 or piece.shape[1] != n_state or not len(piece):
            raise ValueError(
                f"orbits need shape (n_samples, {n_state}), or a list of such, got "
                f"{piece.shape}."
            )
        if not np.isfinite(piece).all():
            raise ValueError("orbits need finite states, got NaN or inf.")
    return pieces


def _unit(model: Any, dt: float | None) -> float:
    """Time of a step: as given, else that of a forecaster, else 1."""
    if dt is not None and not dt > 0:
        raise ValueError(f"dt needs to be above 0, got {dt!r}.")
    unit = getattr(model, "dt", None) if dt is None else dt
    return float(unit) if isinstance(unit, numbers.Real) else 1.0


# -- results -----------------------------------------------------------------------


def _find(
    plmap: PiecewiseLinearMap,
    period: int,
    pieces: Sequence[np.ndarray] | None,
    n_starts: int,
    max_iter: int,
    max_sequences: int,
    rng: np.random.RandomState,
    dt: float,
    to_rows: Rows,
) -> PiecewiseLinearCycles:
    # What runs away and what has no solution is looked for; neither is news.
    with np.errstate(all="ignore"):
        units, of_hinges = natural_units(plmap)
        inner = in_units(plmap, units, of_hinges)
        if pieces is None:
            pieces = runs_from_hinges(inner, rng)
        else:
            pieces = [piece / units for piece in pieces]
        scale = spread_of(pieces)
        regions = all_regions(inner.W2, inner.h2, max_sequences)
        if regions is not None and len(regions) ** period <= max_sequences:
            n_starts = len(regions) ** period
            found, is_complete = try_all(inner, regions, period)
        else:
            starts = guesses(inner, period, pieces, n_starts, regions, rng)
            found, is_complete = search(inner, starts, max_iter, rng), False
        orbits, counts, lost = distinct(inner, found, scale)
        orbits, scale = orbits * units, scale * units
        is_complete = is_complete and not lost
    if not is_complete and not len(orbits):
        warnings.warn(
            f"fixed_points found none of period {period} from {n_starts} starts, which "
            f"does not say that there are none. Raise n_starts, or max_sequences for "
            f"a complete answer.",
            ConvergenceWarning,
            stacklevel=3,
        )
    n_regions = None if regions is None else len(regions)
    return _describe(
        plmap, orbits, counts, scale, n_starts, is_complete, n_regions, dt, to_rows
    )


def _describe(
    plmap: PiecewiseLinearMap,
    orbits: np.ndarray,
    counts: np.ndarray,
    scale: np.ndarray,
    n_starts: int,
    is_complete: bool,
    n_regions: int | None,
    dt: float,
    to_rows: Rows,
) -> PiecewiseLinearCycles:
    n, period, M = orbits.shape
    V = orbits @ plmap.W2.T + plmap.h2
    J = plmap.region(V > 0)[0]
    P = np.broadcast_to(np.eye(M), (n, M, M))
    for i in range(period):
        P = J[:, i] @ P
    eigenvalues = _ordered(np.linalg.eigvals(P)) if n else np.empty((0, M), complex)
    size = np.abs(eigenvalues).max(axis=1, initial=0.0)
    norms = np.linalg.norm(plmap.W2, axis=1)
    apart = np.abs(V) / np.where(norms > 0, norms, np.nan)
    margins = np.full(n, np.inf)
    if (norms > 0).any():
        margins = np.nanmin(apart, axis=(1, 2), initial=np.inf)
    misses = np.abs(plmap(orbits) - np.roll(orbits, -1, axis=1)) / scale
    cycles = np.asarray(to_rows(orbits))
    return PiecewiseLinearCycles(
        states=orbits[:, 0],
        points=cycles[:, 0],
        cycles=cycles,
        eigenvalues=eigenvalues,
        is_stable=size < 1 - 10 * M * np.finfo(float).eps,
        is_isolated=np.abs(eigenvalues - 1).min(axis=1, initial=np.inf) > _SINGULAR,
        residuals=misses.max(axis=(1, 2), initial=0.0),
        n_starts=n_starts,
        n_converged=int(counts.sum()),
        period=period,
        dt=dt,
        is_flow=False,
        orbits=orbits,
        patterns=V > 0,
        margins=margins,
        counts=counts,
        is_complete=is_complete,
        n_regions=n_regions,
    )


def _ordered(eigenvalues: np.ndarray) -> np.ndarray:
    """In decreasing modulus; of a pair, the one that turns forwards first."""
    eigenvalues = np.asarray(eigenvalues, dtype=complex)
    key = np.round(np.abs(eigenvalues), 12)
    order = np.lexsort((-eigenvalues.imag, -key), axis=-1)
    return np.take_along_axis(eigenvalues, order, axis=-1)


def _visited(
    plmap: PiecewiseLinearMap, pieces: Sequence[np.ndarray], dt: float
) -> LinearRegions:
    """Regions of states along orbits, and the transitions between them."""
    packed = [np.packbits(plmap.patterns(piece), axis=1) for piece in pieces]
    rows = np.concatenate(packed)
    if rows.shape[1]:
        whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1])))
        _, first, which, counts = np.unique(
            whole[:, 0], return_index=True, return_inverse=True, return_counts=True
        )
    else:
        # Without hinges, all is one region.
        first, which = np.zeros(1, int), np.zeros(len(rows), int)
        counts = np.array([len(rows)])
    # The most visited first; of equals, the one visited earlier.
    order = np.lexsort((first, -counts))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    symbols = np.split(rank[which], np.cumsum([len(p) for p in pieces])[:-1])
    n = len(order)
    patterns = np.unpackbits(rows[first[order]], axis=1, count=plmap.n_hinges)
    now = np.concatenate([s[:-1] for s in symbols])
    later = np.concatenate([s[1:] for s in symbols])
    transitions = scipy.sparse.csr_array(
        (np.ones(len(now), dtype=int), (now, later)), shape=(n, n)
    )
    transitions.sum_duplicates()
    J, b = plmap.region(patterns)
    return LinearRegions(
        patterns=patterns.astype(bool),
        symbols=tuple(symbols),
        counts=counts[order],
        transitions=transitions,
        jacobians=J,
        offsets=b,
        dt=dt,
    )
