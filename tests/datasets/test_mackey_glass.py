"""The Mackey-Glass equation: exact steps, order, against the method of steps."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from skdyn.datasets import mackey_glass, make_mackey_glass, make_trajectories


def series(system, history, n_steps):
    """x at the steps 1 to n_steps, from a history (n_features,), newest first."""
    state, found = history[None], []
    for _ in range(n_steps):
        state = system.step(state)
        found.append(state[0, 0])
    return np.array(found)


def feedback(y):
    return 0.2 * y / (1 + y**10)


def test_from_a_constant_history_the_first_delay_is_exact():
    # The delayed term is constant and x relaxes to it exponentially, until the
    # polynomial through eight points sees the end of the constant history.
    system, start = mackey_glass(), 0.7
    n = 68 - 7
    found = series(system, np.full(69, start), n)
    t = 0.25 * np.arange(1, n + 1)
    rest = feedback(start) / 0.1
    expected = rest + (start - rest) * np.exp(-0.1 * t)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_against_the_method_of_steps():
    """The first delays as ordinary differential equations, one fed by the other."""
    n, start = 1088, 0.7
    found = series(mackey_glass(dt=17 / n), np.full(n + 1, start), 3 * n)
    t, past = 17 / n * np.arange(1, 3 * n + 1), None
    for k in range(3):
        before = past

        def delayed(now, before=before):
            return start if before is None else before(now - 17.0)[0]

        past = solve_ivp(
            lambda now, x, delayed=delayed: feedback(delayed(now)) - 0.1 * x,
            (17.0 * k, 17.0 * (k + 1)),
            [start if k == 0 else found[n * k - 1]],
            rtol=1e-11,
            atol=1e-11,
            method="DOP853",
            dense_output=True,
        ).sol
        rows = slice(n * k, n * (k + 1))
        # The kink at t = 0 costs accuracy where it is passed on, at 17 and 34.
        np.testing.assert_allclose(found[rows], past(t[rows])[0], atol=2e-6)


def test_the_error_is_of_order_eight():
    # A smooth history: long after the start, on a fine grid.
    fine = mackey_glass(dt=17 / 544)
    history = make_trajectories(fine, 1, starts=np.full(545, 1.2), warmup=600.0)[0]
    truth = series(fine, history, 2 * 544)
    errors, per_delay = [], np.array([34, 68, 136])
    for n in per_delay:
        every = 544 // n
        found = series(mackey_glass(dt=17 / n), history[::every], 2 * n)
        errors.append(np.abs(found - truth[every - 1 :: every]).max())
    slope = -np.polyfit(np.log(per_delay), np.log(errors), 1)[0]
    assert slope == pytest.approx(8.0, abs=0.5)
    assert errors[1] < 5e-9  # at the default step


def test_equilibria_and_the_history():
    system = mackey_glass()
    for rest in (0.0, 1.0):
        same = np.full((1, 69), rest)
        np.testing.assert_allclose(system.step(same), same, rtol=1e-14)
    history = np.random.RandomState(0).uniform(0.5, 1.2, (3, 69))
    np.testing.assert_array_equal(system.step(history)[:, 1:], history[:, :-1])


def test_the_series_is_the_newest_column_of_the_map():
    x = make_mackey_glass(50, random_state=3)
    X = make_trajectories(mackey_glass(), 50, dt=1.0, random_state=3)
    np.testing.assert_array_equal(x, X[:, :1])
    # Rows are a unit of time apart: the delayed column is the row 17 rows before.
    np.testing.assert_array_equal(X[17:, 68], X[:-17, 0])


def test_chaos_stays_in_its_known_range():
    x = make_mackey_glass(3000)
    assert 0.2 < x.min() < 0.5
    assert 1.2 < x.max() < 1.4
    power = np.abs(np.fft.rfft(x[:, 0] - x.mean())) ** 2
    # The strongest peak of the spectrum is near 50 time units.
    assert 3000 / power.argmax() == pytest.approx(50, abs=2)
