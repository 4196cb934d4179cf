"""The batched integrator against closed forms, and the orders that theory promises."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import RK45 as SCIPY_RK45
from scipy.linalg import expm

from skdyn.utils import _integrate
from skdyn.utils._integrate import integrate
from skdyn.utils._tableaux import DOP853, RK4, RK45

ADAPTIVE = ["dop853", "rk45"]
STIFF = ["lsoda", "radau", "bdf"]


def decay(t, y):
    return -y


def square(t, x):
    return x**2


def turning(t, y):
    return np.stack([y[:, 1], -y[:, 0]], axis=1)


def lorenz(t, y):
    a, b, c = y.T
    return np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], axis=1)


def van_der_pol(t, y, mu):
    return np.stack([y[:, 1], mu * (1 - y[:, 0] ** 2) * y[:, 1] - y[:, 0]], axis=1)


def logistic(t, y):
    # y1 = 1 / (1 + exp(-t)) and y2 = y1 sin t.
    a, b = y.T
    return np.stack([a * (1 - a), (1 - a) * b + a * np.cos(t)], axis=1)


def logistic_solution(t):
    y = 1 / (1 + np.exp(-t))
    return np.stack([y, y * np.sin(t)], axis=-1)


def whirl(t, y):
    # Turns by the angle t + sin t, at a rate that depends on time and state.
    rate = (1 + np.cos(t)) * (y**2).sum(axis=1)
    return np.stack([-rate * y[:, 1], rate * y[:, 0]], axis=1)


def whirl_solution(t):
    angle = t + np.sin(t)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


# Tableaux


@pytest.mark.parametrize("tableau", [RK4, RK45, DOP853])
def test_stages_are_consistent(tableau):
    for c, row in zip(tableau.c, tableau.a, strict=True):
        assert sum(row.values()) == pytest.approx(c, abs=1e-14)
        assert all(j < tableau.a.index(row) for j in row)


@pytest.mark.parametrize("tableau", [RK4, RK45, DOP853])
def test_weights_integrate_polynomials(tableau):
    for k in range(tableau.order):
        got = sum(b * tableau.c[j] ** k for j, b in tableau.b.items())
        assert got == pytest.approx(1 / (k + 1), abs=1e-14)
    k = tableau.order
    got = sum(b * tableau.c[j] ** k for j, b in tableau.b.items())
    assert tableau is DOP853 or got != pytest.approx(1 / (k + 1), abs=1e-6)


@pytest.mark.parametrize(
    ("tableau", "orders"), [(RK45, [4]), (DOP853, [5, 3])], ids=["rk45", "dop853"]
)
def test_errors_vanish_up_to_the_embedded_order(tableau, orders):
    for row, order in zip(tableau.errors, orders, strict=True):
        moments = [
            sum(e * tableau.c[j] ** k for j, e in row.items()) for k in range(order + 1)
        ]
        np.testing.assert_allclose(moments[:-1], 0, atol=1e-14)
        assert abs(moments[-1]) > 1e-5


def test_coefficients_are_those_of_scipy():
    published = pytest.importorskip("scipy.integrate._ivp.dop853_coefficients")

    def matrix(rows, like):
        full = np.zeros_like(like)
        for i, row in enumerate(rows):
            for j, value in row.items():
                full[i, j] = value
        return full

    np.testing.assert_array_equal(DOP853.c, published.C)
    np.testing.assert_array_equal(matrix(DOP853.a, published.A), published.A)
    np.testing.assert_array_equal(matrix(DOP853.dense, published.D), published.D)
    errors = np.stack([published.E5, published.E3])
    np.testing.assert_array_equal(matrix(DOP853.errors, errors), errors)
    np.testing.assert_array_equal(matrix(RK45.a[:-1], np.zeros((6, 5))), SCIPY_RK45.A)
    np.testing.assert_array_equal(matrix([RK45.b], np.zeros((1, 6)))[0], SCIPY_RK45.B)
    np.testing.assert_array_equal(
        matrix(RK45.errors, np.zeros((1, 7)))[0], SCIPY_RK45.E
    )


# Orders


@pytest.mark.parametrize(
    ("method", "order", "counts"),
    [
        ("rk4", 4, [32, 64, 128, 256]),
        ("rk45", 5, [64, 128, 256, 512]),
        ("dop853", 8, [6, 8, 12, 16, 24]),
    ],
)
def test_fixed_steps_have_their_order(method, order, counts):
    times = np.array([0.0, 3.0])
    start, want = whirl_solution(times)
    errors = []
    for n in counts:
        got = integrate(whirl, start[None], times, method=method, step=3 / n)
        errors.append(np.linalg.norm(got.y[0, 1] - want))
    assert slope(1 / np.array(counts), errors) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("method", "order", "sizes"),
    [("rk45", 4, [0.4, 0.2, 0.1, 0.05]), ("dop853", 7, [1.2, 0.8, 0.6, 0.4, 0.3])],
)
def test_dense_output_has_its_order(method, order, sizes):
    # Within one step, the error of a polynomial of order p falls as h^(p + 1).
    errors = []
    for h in sizes:
        times = 0.5 + h * np.linspace(0, 1, 9)
        want = logistic_solution(times)
        got = integrate(
            logistic, want[:1], times, method=method, rtol=1e3, first_step=h
        )
        assert got.n_steps == 1
        errors.append(np.abs(got.y[0] - want)[1:-1].max())
    assert slope(sizes, errors) == pytest.approx(order + 1, abs=0.15)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_errors_follow_the_tolerance(method):
    times = np.linspace(0, 10, 23)
    want = whirl_solution(times)
    tolerances = 10.0 ** -np.arange(4, 12)
    errors = []
    for tol in tolerances:
        got = integrate(whirl, want[:1], times, method=method, rtol=tol, atol=tol)
        errors.append(np.abs(got.y[0] - want).max())
    assert slope(tolerances, errors) == pytest.approx(1, abs=0.15)
    assert (errors < 200 * tolerances).all()


def test_rk4_by_hand():
    h, y = 0.5, np.array([1.0])
    k1 = y**2
    k2 = (y + h / 2 * k1) ** 2
    k3 = (y + h / 2 * k2) ** 2
    k4 = (y + h * k3) ** 2
    want = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    got = integrate(square, [y], [0, h], method="rk4")
    np.testing.assert_allclose(got.y[0, 1], want, rtol=1e-15)
    assert (got.n_steps, got.n_evaluations) == (1, 4)


def test_fixed_steps_divide_intervals_evenly():
    got = integrate(decay, [[1.0]], [0, 0.3, 1.0], method="rk4", step=0.1)
    assert got.n_steps == 3 + 7
    seen = []
    integrate(
        lambda t, y: seen.append(t[0]) or -y, [[1.0]], [0, 1], method="rk4", step=0.4
    )
    np.testing.assert_allclose(np.unique(seen), np.arange(7) / 6, atol=1e-15)


# Known solutions


@settings(max_examples=10, deadline=None)
@given(d=st.integers(1, 6), batch=st.integers(1, 5), seed=st.integers(0, 1000))
def test_a_linear_system_is_its_exponential(d, batch, seed):
    rng = np.random.default_rng(seed)
    A, y0 = rng.standard_normal((d, d)), rng.standard_normal((batch, d))
    times = np.sort(rng.uniform(-1, 2, 6))
    want = np.stack([y0 @ expm((t - times[0]) * A).T for t in times], axis=1)
    scale = np.abs(want).max()
    for method in ADAPTIVE:
        got = integrate(
            lambda t, y: y @ A.T, y0, times, method=method, rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(got.y, want, atol=1e-8 * scale)
        assert got.finished


@pytest.mark.parametrize("method", [*ADAPTIVE, "lsoda"])
def test_an_oscillator_keeps_its_energy(method):
    times = np.linspace(0, 20 * np.pi, 41)
    got = integrate(turning, [[1.0, 0], [0, 3]], times, method=method, rtol=1e-9)
    energy = (got.y**2).sum(axis=2)
    np.testing.assert_allclose(energy / energy[:, :1], 1, atol=1e-5)
    np.testing.assert_allclose(got.y[0, :, 0], np.cos(times), atol=1e-5)


@pytest.mark.parametrize("method", [*ADAPTIVE, "rk4", *STIFF])
def test_backward_undoes_forward(method):
    step = 0.001 if method == "rk4" else None
    times = np.array([0, 0.1, 0.4, 0.5])
    start = np.array([[1.0, 2, 20], [-5, -5, 30]])
    tol = 1e-6 if method in ("radau", "bdf") else 1e-10
    tight = {"method": method, "rtol": tol, "atol": tol, "step": step}
    there = integrate(lorenz, start, times, **tight)
    back = integrate(lorenz, there.y[:, -1], times[::-1], **tight)
    np.testing.assert_allclose(back.y[:, ::-1], there.y, atol=3e5 * tol)
    np.testing.assert_array_equal(back.reached, 0)


@pytest.mark.parametrize("method", [*ADAPTIVE, "rk4", "lsoda"])
def test_time_and_arguments_of_each_trajectory(method):
    # y' = w cos(w t) x, with one w and one x for each trajectory.
    w, x = np.array([0.5, 1, 7, 2]), np.arange(8.0).reshape(4, 2)
    times = np.linspace(1, 3, 5)
    got = integrate(
        lambda t, y, w, x: (w * np.cos(w * t))[:, None] * x,
        np.zeros((4, 2)),
        times,
        args=(w, x),
        method=method,
        rtol=1e-9,
        step=0.01 if method == "rk4" else None,
    )
    rise = np.sin(np.outer(w, times)) - np.sin(w)[:, None]
    np.testing.assert_allclose(got.y, rise[:, :, None] * x[:, None], atol=1e-6)


def test_scipy_is_met_where_scipy_was():
    # The same formulas and the same step control: the same steps, but for the last.
    from scipy.integrate import solve_ivp

    start, times = np.array([1.0, 2, 20]), np.linspace(0, 1, 11)
    for method in ADAPTIVE:
        ours = integrate(lorenz, start[None], times, method=method)
        theirs = solve_ivp(
            lambda t, y: lorenz(t, y[None])[0],
            (0, 1),
            start,
            method=method.upper(),
            t_eval=times,
            rtol=1e-6,
            atol=1e-9,
        )
        np.testing.assert_allclose(ours.y[0, :-1], theirs.y.T[:-1], rtol=1e-9)
        assert ours.n_evaluations == pytest.approx(theirs.nfev, abs=20)


@pytest.mark.parametrize("method", STIFF)
def test_a_stiff_oscillator(method):
    # The solution at t = 2 in the test set for initial value problem solvers (Mazzia &
    # Magherini 2008), with time in units of mu.
    got = integrate(
        van_der_pol,
        [[2.0, 0]],
        [0, 1000, 2000],
        args=([1000.0],),
        method=method,
        rtol=1e-6,
        atol=1e-8,
    )
    assert got.finished
    np.testing.assert_allclose(
        got.y[0, -1], [1.706167732170483, -0.8928097010247975e-3], rtol=3e-4
    )


def test_a_jacobian_saves_evaluations():
    def jacobian(t, y, mu):
        row = [-2 * mu * y[:, 0] * y[:, 1] - 1, mu * (1 - y[:, 0] ** 2)]
        top = np.broadcast_to([0.0, 1.0], (len(y), 2))
        return np.stack([top, np.stack(row, axis=1)], axis=1)

    call = {"args": ([100.0, 50.0],), "rtol": 1e-4}
    start, times = [[2.0, 0], [1.5, 0]], [0, 10, 40]
    for method in ("radau", "bdf"):
        without = integrate(van_der_pol, start, times, method=method, **call)
        with_it = integrate(
            van_der_pol, start, times, method=method, jacobian=jacobian, **call
        )
        np.testing.assert_allclose(with_it.y, without.y, rtol=1e-2)
        assert (with_it.n_evaluations < without.n_evaluations).all()


# One does not feel the others


@pytest.mark.parametrize("options", [{}, {"method": "rk45"}, {"step": 0.01}])
def test_a_batch_is_its_members(options):
    rng = np.random.default_rng(0)
    starts = rng.uniform(-15, 15, (20, 3)) + np.array([0, 0, 25])
    rates = rng.uniform(0.2, 3, 20)
    times = np.linspace(0, 1, 8)

    def f(t, y, rate):
        return rate[:, None] * lorenz(t, y)

    together = integrate(f, starts, times, args=(rates,), bound=40, **options)
    assert set(together.status) == {0, 1}
    for i in range(20):
        alone = integrate(
            f, starts[i : i + 1], times, args=(rates[i : i + 1],), bound=40, **options
        )
        for name in ("n_steps", "n_rejected", "n_evaluations", "status", "reached"):
            np.testing.assert_allclose(
                getattr(together, name)[i], getattr(alone, name)[0], rtol=1e-9
            )
        np.testing.assert_allclose(together.y[i], alone.y[0], rtol=1e-9, atol=1e-9)


def test_order_in_the_batch_does_not_matter():
    rng = np.random.default_rng(1)
    starts = rng.standard_normal((50, 3)) + np.array([0, 0, 25])
    order = rng.permutation(50)
    times = np.linspace(0, 1, 5)
    got = integrate(lorenz, starts, times)
    mixed = integrate(lorenz, starts[order], times)
    np.testing.assert_allclose(mixed.y, got.y[order], rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(mixed.n_steps, got.n_steps[order])


@pytest.mark.parametrize("method", ADAPTIVE)
def test_f_sees_the_rows_that_go_on_with_their_arguments(method):
    sizes = []

    def f(t, y, number):
        sizes.append(len(t))
        assert y.shape == (len(t), 2)
        np.testing.assert_array_equal(y[:, 1], number)
        return np.stack([y[:, 0] ** 2, np.zeros(len(t))], axis=1)

    number = np.arange(5.0)
    starts = np.stack([[1.0, -1, 0.5, 2, 0.1], number], axis=1)
    got = integrate(f, starts, [0, 3], args=(number,), method=method)
    np.testing.assert_array_equal(got.status, [1, 0, 1, 1, 0])
    np.testing.assert_allclose(got.reached, [1, 3, 2, 0.5, 3], rtol=1e-5)
    assert sizes[0] == 5
    assert sizes[-1] <= 3
    if method == "rk45":  # no stages for dense output, which few need
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_output_times_do_not_change_the_steps(method):
    start = [[1.0, 2, 20]]
    few = integrate(lorenz, start, [0, 1], method=method)
    many = integrate(lorenz, start, np.linspace(0, 1, 300), method=method)
    assert many.n_steps == few.n_steps
    np.testing.assert_allclose(many.y[:, -1], few.y[:, -1], rtol=1e-13)


# Ends


@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_blow_up_ends_in_bounded_work(method, sign):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = integrate(
            square,
            sign * np.array([[1.0], [0.1]]),
            sign * np.array([0, 0.5, 0.9, 1.5]),
            method=method,
        )
    np.testing.assert_array_equal(got.status, [1, 0])
    np.testing.assert_allclose(got.reached, [sign, 1.5 * sign], rtol=1e-6)
    np.testing.assert_allclose(sign * got.y[0, :3, 0], [1, 2, 10], rtol=1e-4)
    assert np.isnan(got.y[0, 3])
    assert got.n_evaluations[0] < 5000
    assert "1 of 2 trajectories blew up" in got.message


def test_a_slow_blow_up_is_one_too():
    # y' = 1 / (1 - t) has y = -log(1 - t): infinite at t = 1, while never large.
    got = integrate(lambda t, y: 1 / (1 - t)[:, None], [[0.0]], [0, 2])
    assert (got.status, got.reached) == (1, pytest.approx(1, abs=1e-9))


@pytest.mark.parametrize("method", [*ADAPTIVE, "rk4", "radau", "lsoda"])
def test_growth_out_of_the_range_of_floats(method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = integrate(
            lambda t, y: 10 * y,
            [[1e270], [-1e265]],
            [0, 1, 100],
            method=method,
            step=0.05 if method == "rk4" else None,
            rtol=1e-3,
        )
    np.testing.assert_array_equal(got.status, 1)
    np.testing.assert_allclose(got.y[:, 1, 0], [2.2e274, -2.2e269], rtol=0.05)
    assert np.isnan(got.y[:, 2]).all()
    if method != "rk4":  # looks at output times only
        np.testing.assert_allclose(got.reached, np.log([1e30, 1e35]) / 10, atol=0.5)


@pytest.mark.parametrize("method", [*ADAPTIVE, "rk4", *STIFF])
def test_a_domain_that_ends(method):
    # x' = 1 + sqrt(1 - x) reaches x = 1, beyond which it is no number.
    def f(t, x):
        return 1 + np.sqrt(1 - x)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = integrate(
            f,
            [[0.0], [-3.0], [2.0]],
            [0, 0.25, 5],
            method=method,
            step=0.05 if method == "rk4" else None,
        )
    np.testing.assert_array_equal(got.status, 1)
    assert np.isfinite(got.y[:2, 1]).all()
    assert np.isnan(got.y[:, 2]).all()
    assert np.isnan(got.y[2, 1])
    assert got.reached[2] == 0
    # From x = 0, u = sqrt(1 - x): t = 2 (1 - log 2).
    if method != "rk4":
        assert got.reached[0] == pytest.approx(2 - 2 * np.log(2), abs=0.01)


@pytest.mark.parametrize("method", [*ADAPTIVE, "rk4", *STIFF])
def test_a_bound_ends(method):
    times = np.linspace(0, 2, 21)
    step = 0.1 if method == "rk4" else None
    call = {"method": method, "step": step}
    got = integrate(lambda t, y: y, [[1.0, -2], [0.1, 0.1]], times, bound=5, **call)
    np.testing.assert_array_equal(got.status, [1, 0])
    inside = 2 * np.exp(times) <= 5
    np.testing.assert_array_equal(np.isfinite(got.y[0]).all(axis=1), inside)
    assert times[inside][-1] <= got.reached[0] + 1e-12
    assert got.reached[0] < np.log(2.5)
    assert np.abs(got.y[1]).max() < 5
    each = integrate(lambda t, y: y, [[1.0, -2]], times, bound=[5, 50], **call)
    np.testing.assert_array_equal(
        np.isfinite(each.y[0]).all(axis=1), np.exp(times) <= 5
    )


def test_a_start_outside_the_bound():
    for options in ({}, {"step": 0.1}, {"method": "radau"}):
        got = integrate(decay, [[3.0], [1.0]], [0, 1, 5], bound=2, **options)
        np.testing.assert_array_equal(got.status, [1, 0])
        np.testing.assert_array_equal(got.y[0], [[3], [np.nan], [np.nan]])
        assert got.reached[0] == 0


def test_steps_that_get_too_small():
    # y' = -1 / y is singular where y = 0, at t = 1 / 8, and does not grow.
    got = integrate(lambda t, y: -1 / y, [[0.5]], [0, 0.1, 1])
    assert got.status == 3
    assert got.reached == pytest.approx(1 / 8, rel=1e-4)
    assert np.isfinite(got.y[0, 1])
    assert "below the resolution of time" in got.message


@pytest.mark.parametrize("method", [*ADAPTIVE, "lsoda"])
def test_work_is_limited(method):
    got = integrate(
        van_der_pol,
        [[2.0, 0], [2, 0]],
        [0, 1, 500],
        args=([1e4, 0.1],),
        max_steps=200,
        method=method,
        rtol=1e-9,
    )
    # The stiff one is too much for explicit methods, the other for all.
    np.testing.assert_array_equal(got.status, [0 if method == "lsoda" else 2, 2])
    assert (got.n_steps + got.n_rejected <= 200 + 100).all()
    assert 1 < got.reached[1] < 500
    np.testing.assert_array_equal(np.isfinite(got.y[1, :, 0]), [True, True, False])
    assert "lsoda" in got.message


def test_many_output_times_grant_many_steps():
    times = np.linspace(0, 100, 101)
    assert integrate(turning, [[1.0, 0]], times, max_steps=10).finished
    assert not integrate(turning, [[1.0, 0]], [0, 100], max_steps=10).finished


def test_an_error_of_f_is_its_own():
    def f(t, y):
        if t[0] > 0.5:
            raise ValueError("no data after 0.5")
        return -y

    for method in (*ADAPTIVE, "rk4", *STIFF):
        with pytest.raises(ValueError, match=r"no data after 0\.5"):
            integrate(f, [[1.0]], [0, 1], method=method)


# The door


def test_float32_and_integers():
    single = np.array([[1.0, 2.0]], dtype=np.float32)
    seen = []

    def f(t, y):
        seen.append(y.dtype)
        return -y

    got = integrate(f, single, [0, 1])
    assert got.y.dtype == np.float32
    assert set(seen) == {np.dtype(np.float64)}
    np.testing.assert_allclose(got.y[0, 1], single[0] * np.exp(-1), rtol=1e-6)
    assert integrate(f, [[1, 2]], [0, 1]).y.dtype == np.float64
    # What does not fit into float32 has left the range of floats.
    large = integrate(lambda t, y: y, single, [0, 80, 100])
    assert (large.status, large.reached) == (1, 80)
    assert np.isnan(large.y[0, 2]).all()


def test_tolerances_of_zero_and_of_each_feature():
    got = integrate(turning, [[0.0, 0], [1, 0]], [0, 1], atol=0)
    assert got.finished
    np.testing.assert_array_equal(got.y[0], 0)
    # A feature with a loose tolerance does not make steps short.
    loose = integrate(
        lambda t, y: np.stack([-y[:, 0], np.cos(50 * t)], axis=1),
        [[1.0, 0]],
        [0, 1],
        atol=[1e-9, 1e3],
    )
    tight = integrate(
        lambda t, y: np.stack([-y[:, 0], np.cos(50 * t)], axis=1), [[1.0, 0]], [0, 1]
    )
    assert loose.n_steps < tight.n_steps


def test_a_tiny_first_step_is_no_trap():
    for first_step in (1e-300, 1e-3, 1e3):
        got = integrate(decay, [[1.0]], [0, 1], first_step=first_step)
        assert got.y[0, 1] == pytest.approx(np.exp(-1), rel=1e-5)


@pytest.mark.parametrize("method", [*ADAPTIVE, "rk4", "radau"])
def test_nothing_to_do(method):
    once = integrate(decay, [[1.0], [2.0]], [3.0], method=method)
    np.testing.assert_array_equal(once.y, [[[1]], [[2]]])
    np.testing.assert_array_equal(once.reached, 3)
    none = integrate(decay, np.empty((0, 2)), [0, 1], method=method)
    assert none.y.shape == (0, 2, 2)
    assert none.finished
    assert none.message == ""
    constant = integrate(lambda t, y: 0 * y, [[1.0]], [0, 1, 9], method=method)
    np.testing.assert_array_equal(constant.y, np.ones((1, 3, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y0": [1.0, 2.0]}, r"shape \(batch, d\)"),
        ({"y0": [[1.0 + 1j]]}, "real numbers"),
        ({"y0": [[], []]}, "real numbers"),
        ({"y0": [[1.0], [np.nan]]}, r"got \[nan\] as start 1"),
        ({"times": [0, 1, 3, 2, 5]}, r"times\[2\] = 3.0 and times\[3\] = 2.0"),
        ({"times": [0, 1, 1, 2]}, r"times\[1\] = 1.0 and times\[2\] = 1.0"),
        ({"times": [3, 2, 2.5, 0]}, r"times\[1\] = 2.0 and times\[2\] = 2.5"),
        ({"times": [0, 1, 0]}, "times"),
        ({"times": []}, "at least the time of y0"),
        ({"times": [0, np.inf]}, "finite"),
        ({"args": (np.ones(3),)}, r"one row for each of the 2 starts"),
        ({"method": "euler"}, "dop853, rk45, rk4, lsoda, radau, bdf, got 'euler'"),
        ({"method": "radau", "step": 0.1}, "fixed steps"),
        ({"step": 0.0}, "step needs to be positive"),
        ({"first_step": -1.0}, "first_step needs to be positive"),
        ({"rtol": -1.0}, "rtol"),
        ({"atol": [1e-3, 1e-3, 1e-3]}, "atol needs one value, or 1"),
        ({"bound": 0.0}, "bound needs one positive value"),
        ({"max_steps": 0}, "max_steps"),
        ({"jacobian": decay}, "jacobian is for lsoda"),
        ({"f": lambda t, y: y[0]}, r"derivatives of shape \(2, 1\)"),
        ({"f": lambda t, y: 1j * y}, "real derivatives"),
    ],
)
def test_what_is_refused(change, message):
    call = {"f": decay, "y0": [[1.0], [2.0]], "times": [0.0, 1.0], **change}
    f, y0, times = call.pop("f"), call.pop("y0"), call.pop("times")
    with pytest.raises(ValueError, match=message):
        integrate(f, y0, times, **call)


def test_a_plan_is_its_tableau(monkeypatch):
    # Where two stages share a row, the sums are those of the plain tableau.
    plain = replace(DOP853, a=tuple({**row, 1: row.get(1, 0.0)} for row in DOP853.a))
    plain = replace(plain, a=({}, {0: DOP853.a[1][0]}, *plain.a[2:]))
    assert _integrate._plan(plain).y == 0
    assert _integrate._plan(DOP853).y == 1
    shared = integrate(lorenz, [[1.0, 2, 20]], [0, 0.3, 0.5])
    monkeypatch.setitem(_integrate._EXPLICIT, "dop853", plain)
    got = integrate(lorenz, [[1.0, 2, 20]], [0, 0.3, 0.5])
    np.testing.assert_allclose(got.y, shared.y, rtol=1e-13)
