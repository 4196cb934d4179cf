"""Bagged optimised DMD: how sure the data makes rates, modes and forecasts.

Refits on random halves of the rows, each from the optimum of all rows (after Sashidhar
& Kutz 2022, algorithm 2). A statistic of a fraction f of the rows, drawn without
replacement, scatters about that of all rows with (1 - f) / f of the variance that the
latter has (Wu 1990): f = 1/2 needs no correction, others are rescaled. The paper
reports the mean of the refits; the fit of all rows, reported here, has less noise and
the same expectation.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skdyn.base import (
    ForecastInterval,
    Horizon,
    check_coverage,
    interval_of,
    interval_request,
)
from skdyn.koopman._modal import ModalForm, common_modes
from skdyn.koopman._optdmd import OptDMD, Projection
from skdyn.koopman._spectrum import Spectrum
from skdyn.koopman._varpro import Block
from skdyn.utils._sklearn import Interval

__all__ = ["BOPDMD"]


class BOPDMD(OptDMD):
    """Optimised DMD with error bars, by bagging.

    The answer is that of `OptDMD` on all rows; refits on random halves of the rows tell
    how sure it is, as standard errors of rates and modes and as intervals of forecasts.
    They hold for noise that is white in time.

    Parameters
    ----------
    rank, dt, constraint, initial_rates, max_iter, tol
        As in `OptDMD`.
    n_trials : int, default=100
        Number of refits; a hundred give standard errors to some 7%.
    trial_size : float, default=0.5
        Fraction of the rows of each trajectory in a refit. With a half, refits scatter
        as much as the answer is uncertain; for others their scatter is rescaled.
    random_state : int, RandomState instance or None, default=0
        Seed of the choice of rows, and of the noise in forecast intervals.

    Attributes
    ----------
    rates_, spectrum_, rank_, dt_, n_iter_, n_features_in_, feature_names_in_
        As in `OptDMD`; the errors in `spectrum_` are those of the refits.
    min_context_, context_
        As in `OptDMD`.
    rates_samples_ : complex ndarray of shape (n_trials, rank)
        Rates of all refits, in the order of `rates_`.
    noise_std_ : float
        Root mean square of what the exponentials leave of the data.

    See Also
    --------
    OptDMD : One fit, with linearised standard errors.

    References
    ----------
    Sashidhar & Kutz, "Bagging, optimized dynamic mode decomposition for robust, stable
    forecasting with spatial and temporal uncertainty quantification", Philosophical
    Transactions of the Royal Society A 380 (2022), 20210199, algorithm 2.

    Wu, "On the asymptotic properties of the jackknife histogram", Annals of Statistics
    18 (1990), 1438.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.koopman import BOPDMD
    >>> rng = np.random.default_rng(0)
    >>> t = 0.1 * np.arange(300)
    >>> X = np.column_stack([np.cos(2 * t), np.sin(2 * t)])
    >>> model = BOPDMD(rank=2, dt=0.1).fit(X + 0.1 * rng.standard_normal(X.shape))
    >>> error = abs(model.spectrum_.frequencies[0] - 1 / np.pi)
    >>> bool(error < 3 * model.spectrum_.frequency_errors[0])
    True
    >>> model.forecast_interval(10).lower.shape
    (10, 2)
    """

    _parameter_constraints: dict = {
        **OptDMD._parameter_constraints,
        "n_trials": [Interval(Integral, 2, None, closed="left")],
        "trial_size": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        rank: int | float | Literal["auto"] | None = None,
        *,
        dt: float | None = None,
        constraint: Literal["stable", "imaginary"] | Projection | None = None,
        initial_rates: Any = None,
        max_iter: int = 100,
        tol: float = 1e-12,
        n_trials: int = 100,
        trial_size: float = 0.5,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            rank,
            dt=dt,
            constraint=constraint,
            initial_rates=initial_rates,
            max_iter=max_iter,
            tol=tol,
        )
        self.n_trials = n_trials
        self.trial_size = trial_size
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, t: Any = None) -> BOPDMD:
        """Fit rates, modes and amplitudes, and refit them on random rows.

        Parameters
        ----------
        X, y, t
            As in `OptDMD.fit`.

        Returns
        -------
        BOPDMD
            The estimator itself.
        """
        trajectories, times, blocks, basis = self._fit(X, t)
        rng = check_random_state(self.random_state)
        pieces = [np.asarray(piece) for piece in trajectories.pieces]
        self.noise_std_ = self._noise(pieces, times)
        # Correction of the scatter for the size of the refits.
        lengths = trajectories.lengths
        share = sum(self._size(n) for n in lengths) / sum(lengths)
        self._spread = float(np.sqrt(share / (1 - share))) if share < 1 else 0.0
        last = [*(i - 1 for i in trajectories.firsts[1:]), len(pieces) - 1]
        # Trajectories that share their times are drawn from together.
        clocks = {clock.tobytes(): len(clock) for clock in times}
        found, modes, states = [], [], []
        self._trials: list[ModalForm] = []
        for _ in range(self.n_trials):
            drawn = {clock: self._draw(n, rng) for clock, n in clocks.items()}
            rates = self._search(
                [
                    Block(block.t[rows], block.X[rows])
                    for block in blocks
                    for rows in [drawn[block.t.tobytes()]]
                ],
                self.rates_,
                basis,
                tol=max(self.tol, 1e-8),
            ).values
            rows = [drawn[clock.tobytes()] for clock in times]
            some = [clock[i] for clock, i in zip(times, rows, strict=True)]
            form_modes, weights = common_modes(
                rates, [piece[i] for piece, i in zip(pieces, rows, strict=True)], some
            )
            form_modes, weights = _turned(form_modes, weights, self._form.modes)
            found.append(rates)
            modes.append(form_modes)
            # A sample is as far from the fit of all rows as that is from the truth.
            form = ModalForm.of(
                self.rates_ + self._spread * (rates - self.rates_),
                self._form.modes + self._spread * (form_modes - self._form.modes),
                self.dt_,
                self._is_complex,
            )
            self._trials.append(form)
            # Amplitudes at the end of each trajectory, from those at its start.
            spans = np.array([times[i][-1] for i in last])
            with np.errstate(all="ignore"):
                ends = weights[last] * np.exp(np.multiply.outer(spans, rates))
            states.append(form.states(ends))
        self.rates_samples_ = np.array(found)
        self._trial_states = np.array(states)
        self._rate_errors = self._spread * _deviation(self.rates_samples_)
        self._mode_errors = self._spread * _deviation(np.array(modes))
        if share == 1:
            # Refits of all rows say nothing.
            self._rate_errors = np.full_like(self._rate_errors, np.nan + 1j * np.nan)
            self._mode_errors = np.full_like(self._mode_errors, np.nan + 1j * np.nan)
        self._seed = int(rng.randint(np.iinfo(np.int32).max))
        self._spectrum: Spectrum | None = None
        return self

    def _draw(self, n: int, rng: np.random.RandomState) -> np.ndarray:
        """Rows of a refit, in order."""
        return np.sort(rng.permutation(n)[: self._size(n)])

    def _size(self, n: int) -> int:
        """How many of n rows a refit takes: enough to determine it, where there are."""
        return max(int(np.ceil(self.trial_size * n)), min(n, self.rank_ + 1))

    def _noise(self, pieces: list[np.ndarray], times: list[np.ndarray]) -> float:
        """Noise in each number, from the residuals and what was fitted to them."""
        left = 0.0
        for piece, clock, b in zip(pieces, times, self._all_weights, strict=True):
            left += float(np.sum(np.abs(piece - self._form.curve(b, clock)) ** 2))
        numbers = sum(piece.size for piece in pieces)
        fitted = self._form.modes.size + len(pieces) * self.rank_
        return float(np.sqrt(left / max(numbers - fitted, 1)))

    def forecast_interval(
        self,
        n_steps: int | Horizon,
        coverage: float = 0.9,
        context: Any = None,
        u: None = None,
    ) -> ForecastInterval:
        """A forecast with the interval in which the next observations lie.

        Each refit makes one sample: its forecast, from amplitudes that vary as far as
        the noise in the context leaves them open, and observation noise.

        Parameters
        ----------
        n_steps : int or Horizon
            The number of rows, at least 1, or a request with a context of its own.
        coverage : float, default=0.9
            Fraction of the observations that lie in the interval, step by step.
        context : array-like or list of array-likes, default=None
            The rows to continue; None continues the trajectories of ``fit``.
        u : None
            For the common signature: there are no inputs.

        Returns
        -------
        ForecastInterval
            With `n_trials` samples; lists for several trajectories.

        Raises
        ------
        ValueError
            If `coverage` is not between 0 and 1, or `u` is given.
        """
        check_is_fitted(self)
        check_coverage(coverage)
        if self._is_complex:
            raise ValueError(
                "An interval needs real data, got a model of complex data. Pass the "
                "real and imaginary parts as features."
            )
        horizon = interval_request(n_steps, context, u)
        starts, past, future = self._resolved(horizon)
        mean = self._forecast_from(starts, past, future, horizon.n_steps)
        rng = np.random.RandomState(self._seed)
        pieces = [np.asarray(piece, dtype=np.float64) for piece in starts.pieces]
        samples = []
        for form, states in zip(self._trials, self._trial_states, strict=True):
            if horizon.context is None:
                ends = self._end_states + self._spread * (states - self._end_states)
            else:
                noisy = [
                    piece + self.noise_std_ * rng.standard_normal(piece.shape)
                    for piece in pieces
                ]
                ends = np.concatenate(
                    [form.state_after(x[None], form.past(len(x))) for x in noisy]
                )
            with np.errstate(all="ignore"):
                rows = form.rollout(ends, horizon.n_steps)
            samples.append(rows + self.noise_std_ * rng.standard_normal(rows.shape))
        return interval_of(
            np.array(samples, dtype=starts.dtype),
            coverage,
            horizon,
            starts,
            who=type(self).__name__,
            mean=mean,
        )


def _turned(
    modes: np.ndarray, weights: np.ndarray, like: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit modes turned in the complex plane to lie nearest to those of `like`.

    Amplitudes turn against them.
    """
    phase = np.einsum("jd,jd->j", like.conj(), modes)
    size = np.abs(phase)
    phase = np.where(size > 0, phase / np.where(size > 0, size, 1.0), 1.0)
    return modes * phase.conj()[:, None], weights * phase


def _deviation(samples: np.ndarray) -> np.ndarray:
    """Standard deviations of real and imaginary parts, over the first axis."""
    return np.asarray(samples.real.std(axis=0) + 1j * samples.imag.std(axis=0))
