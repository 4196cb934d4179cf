"""Linear dynamics given by rates and modes: states from contexts, and what they say.

Equation: x(t) = sum_j b_j exp(a_j t) phi_j. The state after a context is the vector b
of amplitudes at its last row, the least-squares answer to all of its rows,

    min_b sum_k |x_k - sum_j b_j exp(a_j t_k) phi_j|²,   t_k <= 0.

There may be more modes than features; then some rows of the past are needed, as for any
observer. Of real data, a conjugate pair is kept as two real numbers z = (Re b, Im b),
which a step turns and scales, so that forecasts are real without any cast.

One-step forecasts after every row of a series are recursive least squares: with the
covariance P of b, in units of the noise, each row corrects b by

    b <- b + P H^H (H P H^H + I)^-1 (x - H b),   and a step is b <- L b, P <- L P L^H.

The gains depend on no data, so that all trajectories share them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from skdyn.base import ForecasterMixin
from skdyn.koopman._varpro import exponentials, solve_exponentials
from skdyn.utils._linalg import linear_orbit
from skdyn.utils._trajectories import Pieces, Trajectories, windows

__all__ = ["ModalForecasts", "ModalForm", "common_modes", "in_order", "is_pair"]

# Rows are added to a context until the amplitudes are determined to this condition.
_WELL_DETERMINED = 1e6
# Turns in which modes and amplitudes of several trajectories are fitted.
_SWEEPS = 20


def in_order(rates: np.ndarray) -> np.ndarray:
    """The order of a spectrum: decreasing growth, then slow before fast, + before -."""
    return np.lexsort((-rates.imag, np.abs(rates.imag), -rates.real))


@dataclass(frozen=True, eq=False)
class ModalForm:
    """Rates and modes, and the real (or complex) linear map that they make.

    Attributes
    ----------
    rates : complex ndarray of shape (r,)
        In order, conjugate pairs next to each other.
    modes : complex ndarray of shape (r, n_features)
        Unit vectors.
    dt : float
        Time of a step.
    K : ndarray of shape (r, r)
        A step of the state: z -> z K.
    readout : ndarray of shape (r, n_features)
        The row that a state stands for.
    to_state : complex ndarray of shape (r, r)
        z = b @ to_state, of which the real part is taken for real data.
    """

    rates: np.ndarray
    modes: np.ndarray
    dt: float
    K: np.ndarray
    readout: np.ndarray
    to_state: np.ndarray

    @classmethod
    def of(
        cls, rates: np.ndarray, modes: np.ndarray, dt: float, is_complex: bool
    ) -> ModalForm:
        factors = np.exp(rates * dt)
        r = len(rates)
        if is_complex:
            return cls(rates, modes, dt, np.diag(factors), modes, np.eye(r))
        modes = modes.copy()
        # b = z B: for a pair, b = z1 + i z2 and its conjugate.
        B, j = np.eye(r, dtype=complex), 0
        while j < r:
            if is_pair(rates, j):
                modes[j + 1] = modes[j].conj()
                B[j : j + 2, j : j + 2] = [[1, 1], [1j, -1j]]
                j += 2
            else:
                j += 1
        inverse = np.linalg.inv(B)
        K = ((B * factors) @ inverse).real
        return cls(rates, modes, dt, K, (B @ modes).real, inverse)

    @property
    def is_complex(self) -> bool:
        return np.iscomplexobj(self.K)

    def states(self, b: np.ndarray) -> np.ndarray:
        """States (batch, r) of amplitudes (batch, r)."""
        z = b @ self.to_state
        return z if self.is_complex else z.real

    def _measurement(self) -> tuple[np.ndarray, np.ndarray]:
        """Modes in as few features as hold them: (q, r), and the way there (d, q)."""
        if self.modes.shape[1] <= len(self.rates):
            return self.modes.T, np.eye(self.modes.shape[1])
        Q, R = np.linalg.qr(self.modes.T)
        return R, Q.conj()

    def _observation(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns (n q, r) of rows at times t <= 0, of unit norm, and their scales."""
        H, _ = self._measurement()
        E, shift = exponentials(self.rates, t)
        columns = (E[:, None, :] * H).reshape(-1, len(self.rates))
        norms = np.linalg.norm(columns, axis=0)
        norms[norms == 0] = 1.0
        with np.errstate(over="ignore"):
            return columns / norms, np.exp(-shift) / norms

    def rows_needed(self) -> int:
        """The least number of past rows that determine the state."""
        r = len(self.rates)
        for n in range(-(-r // self.modes.shape[1]), r):
            s = np.linalg.svd(self._observation(self.past(n))[0], compute_uv=False)
            if s[-1] * _WELL_DETERMINED > s[0]:
                return n
        return r

    def past(self, n: int) -> np.ndarray:
        """Times (n,) of the last n rows, a step apart, the last at 0."""
        return self.dt * np.arange(1 - n, 1)

    def amplitudes_after(self, contexts: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Amplitudes (batch, r) at time 0 of rows (batch, n, d) at times t <= 0."""
        columns, scale = self._observation(t)
        _, Q = self._measurement()
        seen = contexts.astype(np.result_type(contexts, np.float64)) @ Q
        b = linalg.lstsq(
            columns, seen.reshape(len(seen), -1).T, cond=1e-12, check_finite=False
        )[0]
        return np.asarray((b * scale[:, None]).T)

    def state_after(self, contexts: np.ndarray, t: np.ndarray) -> np.ndarray:
        """States (batch, r) at time 0 of rows (batch, n, d) at times t <= 0."""
        return self.states(self.amplitudes_after(contexts, t))

    def curve(self, b: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Rows (n, d) of a trajectory of amplitudes b (r,) at time 0."""
        rows = (np.exp(np.multiply.outer(t, self.rates)) * b) @ self.modes
        return rows if self.is_complex else rows.real

    def rollout(self, state: np.ndarray, n_steps: int) -> np.ndarray:
        """Rows (batch, n_steps, d) after states (batch, r)."""
        orbit = linear_orbit(state @ self.K, self.K, n_steps)
        return np.asarray((orbit @ self.readout).swapaxes(0, 1))

    def filtered(self, pieces: Pieces, least: int) -> list[np.ndarray]:
        """For each piece the forecasts of the row after each row from `least` on."""
        outputs: list[np.ndarray] = [np.empty(0)] * len(pieces)
        lengths = [len(piece) for piece in pieces]
        gains = self._gains(max(lengths), least)
        for n in set(lengths):
            members = [i for i, length in enumerate(lengths) if length == n]
            rows = self._filter(np.stack([pieces[i] for i in members]), least, gains)
            for i, each in zip(members, rows, strict=True):
                outputs[i] = each
        return outputs

    def _gains(self, n: int, least: int) -> list[np.ndarray]:
        """Gains (r, q) of rows `least` to n - 1."""
        H, _ = self._measurement()
        factors = np.exp(self.rates * self.dt)
        columns, scale = self._observation(self.past(least))
        with np.errstate(all="ignore"):
            inverse = np.linalg.pinv(columns, rcond=1e-12) * scale[:, None]
            P = inverse @ inverse.conj().T
            gains = []
            for _ in range(least, n):
                P = factors[:, None] * P * factors.conj()
                PH = P @ H.conj().T
                gain = np.linalg.solve((H @ PH + np.eye(len(H))).T, PH.T).T
                P = P - gain @ PH.conj().T
                P = (P + P.conj().T) / 2
                gains.append(gain)
        return gains

    def _filter(
        self, batch: np.ndarray, least: int, gains: list[np.ndarray]
    ) -> np.ndarray:
        H, Q = self._measurement()
        factors = np.exp(self.rates * self.dt)
        seen = batch.astype(np.result_type(batch, np.float64)) @ Q
        b = self.amplitudes_after(batch[:, :least], self.past(least))
        states = [b * factors]
        for gain, rows in zip(gains, seen[:, least:].swapaxes(0, 1), strict=False):
            b = states[-1]
            states.append((b + (rows - b @ H.T) @ gain.T) * factors)
        ahead = np.stack(states, axis=1) @ self.modes
        return ahead if self.is_complex else ahead.real

    def residuals(
        self, pieces: Pieces, times: Sequence[np.ndarray], n_rows: int
    ) -> np.ndarray:
        """|phi_j(next) - lambda_j phi_j| / |phi_j| over all rows, phi from `n_rows`."""
        _, Q = self._measurement()
        error, size = np.zeros(len(self.rates)), np.zeros(len(self.rates))
        even: np.ndarray | None = None
        for piece, clock in zip(pieces, times, strict=True):
            if len(piece) <= n_rows:
                continue
            seen = windows(np.asarray(piece) @ Q, n_rows)
            seen = seen.reshape(len(seen), -1)
            if np.allclose(np.diff(clock), self.dt, rtol=1e-9):
                if even is None:
                    columns, scale = self._observation(self.past(n_rows))
                    even = (np.linalg.pinv(columns) * scale[:, None]).T
                b = seen @ even
            else:
                b = np.empty((len(seen), len(self.rates)), complex)
                for k in range(len(seen)):
                    past = clock[k : k + n_rows] - clock[k + n_rows - 1]
                    columns, scale = self._observation(past)
                    b[k] = np.linalg.lstsq(columns, seen[k], rcond=None)[0] * scale
            ahead = np.multiply.outer(np.diff(clock[n_rows - 1 :]), self.rates)
            error += (np.abs(b[1:] - np.exp(ahead) * b[:-1]) ** 2).sum(axis=0)
            size += (np.abs(b[:-1]) ** 2).sum(axis=0)
        return np.sqrt(
            np.divide(error, size, out=np.full_like(size, np.inf), where=size > 0)
        )


class ModalForecasts(ForecasterMixin):
    """Forecasts of a model that is a `ModalForm`.

    ``fit`` sets ``_form``, ``min_context_`` and ``_end_states``, which is
    ``_states_at_ends(trajectories, times)``.
    """

    _allow_complex = True
    _uses_whole_context = True

    _form: ModalForm
    _end_states: np.ndarray

    def _states_at_ends(
        self, trajectories: Trajectories, times: Sequence[np.ndarray]
    ) -> np.ndarray:
        """States after all rows of each trajectory, at the times that they have."""
        short = [n for n in trajectories.last_pieces().lengths if n < self.min_context_]
        if short:
            warnings.warn(
                f"{len(short)} trajectories have fewer rows than the "
                f"{self.min_context_} that determine the amplitudes of all modes: "
                f"predict(h) continues them by the smallest that fit. Lower rank, or "
                f"leave them out.",
                UserWarning,
                stacklevel=5,
            )
        clocks = [group[-1] for group in trajectories.groups(list(times))]
        return np.concatenate(
            [
                self._form.state_after(np.asarray(piece)[None], clock - clock[-1])
                for piece, clock in zip(
                    trajectories.last_pieces().pieces, clocks, strict=True
                )
            ]
        )

    def _begin_all(self, pieces: Pieces, past: Any) -> np.ndarray:
        # Training trajectories have their own times, and all of their rows.
        if pieces is self.context_.pieces:
            return self._end_states
        return super()._begin_all(pieces, past)

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return self._form.state_after(contexts, self._form.past(contexts.shape[1]))

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        state = state @ self._form.K
        return state, state @ self._form.readout

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        return self._form.rollout(state, n_steps)

    def _one_step(self, trajectories: Trajectories, u: Pieces | None) -> Pieces:
        with np.errstate(all="ignore"):
            rows = self._form.filtered(trajectories.pieces, self.min_context_)
        rows = [self._finish(each[None], trajectories.dtype)[0] for each in rows]
        return np.stack(rows) if trajectories.form == "array" else rows


def common_modes(
    rates: np.ndarray, pieces: Pieces, times: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Unit modes (r, d) of all pieces, and amplitudes (n_pieces, r) at time zero.

    One piece gives modes and amplitudes at once. Several are fitted in turns: modes
    given amplitudes, amplitudes given modes, from the leading singular vector of each
    mode's weights in all pieces; exact data needs no turn.
    """
    known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    for clock in times:
        if clock.tobytes() not in known:
            known[clock.tobytes()] = exponentials(rates, clock)
    curves = [known[clock.tobytes()] for clock in times]
    shifts = np.array([shift for _, shift in curves])
    r, d = len(rates), pieces[0].shape[1]
    if len(pieces) == 1:
        modes = solve_exponentials(curves[0][0], pieces[0])
        weights = np.ones((1, r), dtype=complex)
    else:
        each = np.zeros((len(pieces), r, d), complex)
        for i, (piece, (E, _)) in enumerate(zip(pieces, curves, strict=True)):
            if len(piece) >= r:
                size = np.linalg.norm(E, axis=0)
                each[i] = solve_exponentials(E / size, piece)
        modes = np.stack(
            [np.linalg.svd(each[:, j], full_matrices=False)[2][0] for j in range(r)]
        )
        weights = _weights(modes, pieces, curves)
        before = np.inf
        for _ in range(_SWEEPS):
            modes = _modes(weights, pieces, curves)
            modes /= np.maximum(np.linalg.norm(modes, axis=1, keepdims=True), 1e-300)
            weights = _weights(modes, pieces, curves)
            left = sum(
                float(np.linalg.norm(piece - (E * w) @ modes) ** 2)
                for piece, (E, _), w in zip(pieces, curves, weights, strict=True)
            )
            if left >= before * (1 - 1e-6):
                break
            before = left
    norms = np.linalg.norm(modes, axis=1)
    norms[norms == 0] = 1.0
    with np.errstate(over="ignore"):
        modes, weights = modes / norms[:, None], weights * norms * np.exp(-shifts)
    if not any(np.iscomplexobj(piece) for piece in pieces):
        _make_real(rates, modes, weights)
    return modes, weights


def _make_real(rates: np.ndarray, modes: np.ndarray, weights: np.ndarray) -> None:
    """Give modes of real data the phases that make them real, or conjugate pairs.

    A singular vector is known up to a phase; amplitudes turn against it.
    """
    j = 0
    while j < len(rates):
        if is_pair(rates, j):
            modes[j + 1], weights[:, j + 1] = modes[j].conj(), weights[:, j].conj()
            j += 2
            continue
        top = modes[j, np.abs(modes[j]).argmax()]
        turn = top / np.abs(top) if top != 0 else 1.0
        modes[j] = (modes[j] / turn).real
        weights[:, j] = (weights[:, j] * turn).real
        j += 1


def is_pair(rates: np.ndarray, j: int) -> bool:
    """Tell whether rate j is the first of a conjugate pair."""
    ahead = j + 1 < len(rates)
    return bool(ahead and rates[j].imag > 0 and rates[j + 1] == rates[j].conj())


def _weights(
    modes: np.ndarray, pieces: Pieces, curves: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Amplitudes (n_pieces, r) of given modes, each piece by itself."""
    # Few features hold the modes.
    Q, R = np.linalg.qr(modes.T) if modes.shape[1] > len(modes) else (None, modes.T)
    weights = np.empty((len(pieces), len(modes)), complex)
    # Pieces with the same times have the same columns.
    same: dict[int, list[int]] = {}
    for i, (E, _) in enumerate(curves):
        same.setdefault(id(E), []).append(i)
    for members in same.values():
        E = curves[members[0]][0]
        columns = (E[:, None, :] * R).reshape(-1, len(modes))
        seen = np.stack([pieces[i] for i in members])
        seen = seen if Q is None else seen @ Q.conj()
        weights[members] = linalg.lstsq(
            columns, seen.reshape(len(members), -1).T, cond=1e-13, check_finite=False
        )[0].T
    return weights


def _modes(
    weights: np.ndarray,
    pieces: Pieces,
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Modes (r, d) of given amplitudes, all pieces together."""
    columns = np.concatenate([E * w for (E, _), w in zip(curves, weights, strict=True)])
    rows = np.concatenate(list(pieces))
    return solve_exponentials(columns, rows)
