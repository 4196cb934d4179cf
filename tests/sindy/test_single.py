"""One trajectory at a time: step by step what the batched integrator does."""

import numpy as np
import pytest

from skdyn.preprocessing import FourierLift, FunctionLift, PolynomialLift
from skdyn.sindy._equations import Equations
from skdyn.sindy._library import fit_library
from skdyn.sindy._single import integrate_singly, most_singly
from skdyn.utils._integrate import integrate
from skdyn.utils._trajectories import as_trajectories


def system(lift, d, m, *rows, below=None):
    """Equations from one dictionary of terms for each."""
    given = np.random.default_rng(0).standard_normal((9, d + m))
    data = as_trajectories(given[:, :d])
    library = fit_library(lift, data, [given[:, d:]] if m else None)

    def matrix(some):
        coef = np.zeros((d, len(library.terms)))
        for j, row in enumerate(some):
            for term, c in row.items():
                coef[j, library.terms.index(term)] = c
        return coef

    return Equations(
        matrix(rows), library, denominator=None if below is None else matrix(below)
    )


LORENZ = system(
    PolynomialLift(2),
    3,
    0,
    {"x0": -10.0, "x1": 10.0},
    {"x0": 28.0, "x1": -1.0, "x0 x2": -1.0},
    {"x2": -8 / 3, "x0 x1": 1.0},
)
PENDULUM = system(
    PolynomialLift(1) + FourierLift(),
    2,
    1,
    {"x1": 1.0},
    {"sin(x0)": -1.0, "x1": -0.1, "u0": 0.5},
)
# x' = -x / (1 + x²)
DECAY = system(PolynomialLift(2), 1, 0, {"x0": -1.0}, below=[{"1": 1.0, "x0^2": 1.0}])
SQUARE = system(PolynomialLift(2), 1, 0, {"x0^2": 1.0})


def both(equations, y0, times, u=None, **options):
    """Solutions one by one and batched, with the same work in each."""
    function = equations.function
    one = integrate_singly(function, y0, times, u, **options)
    args = () if u is None else (u,)
    many = integrate(
        lambda t, y, u=None: function(y, u), y0, times, args=args, **options
    )
    for name in ("status", "n_steps", "n_rejected", "n_evaluations"):
        assert getattr(one, name).tolist() == getattr(many, name).tolist()
    np.testing.assert_allclose(one.reached, many.reached, rtol=1e-9)
    assert one.y.dtype == many.y.dtype
    return one, many


@pytest.mark.parametrize("method", ["dop853", "rk45"])
@pytest.mark.parametrize("rtol", [1e-4, 1e-10])
def test_it_takes_the_steps_of_the_batched_integrator(method, rtol):
    starts = np.array([[-8.0, 8.0, 27.0], [1.0, 1.0, 20.0]])
    uneven = np.cumsum([0.0, 0.01, 0.3, 1e-4, 0.7, 0.5, 0.002])
    for times in (np.linspace(0, 2, 301), 3.0 + uneven):
        for first in (None, 0.02):
            one, many = both(
                LORENZ, starts, times, method=method, rtol=rtol, first_step=first
            )
            # Rounding changes the sizes of steps, far below the tolerance.
            near = max(1e-10, 1e-3 * rtol)
            np.testing.assert_allclose(one.y, many.y, rtol=near, atol=near)


def test_inputs_waves_and_quotients():
    starts, u = np.array([[0.5, 0.0], [3.0, 1.0]]), np.array([[0.0], [1.0]])
    one, many = both(PENDULUM, starts, np.linspace(0, 20, 50), u, rtol=1e-8)
    np.testing.assert_allclose(one.y, many.y, atol=1e-11)
    one, many = both(DECAY, [[2.0]], np.linspace(0, 5, 9), rtol=1e-10)
    np.testing.assert_allclose(one.y, many.y, atol=1e-12)
    # log x + x²/2 falls by one per unit of time.
    x = one.y[0, :, 0]
    falls = np.log(x) + x**2 / 2 + np.linspace(0, 5, 9)
    np.testing.assert_allclose(falls, falls[0], atol=1e-8)


def test_absolute_tolerances_of_each_state():
    atol = np.array([1e-9, 1e-3, 1e-6])
    one, many = both(LORENZ, [[1.0, 2.0, 3.0]], [0.0, 0.5, 1.0], atol=atol, rtol=1e-9)
    np.testing.assert_allclose(one.y, many.y, atol=1e-11)


def test_a_blow_up_ends_with_its_time():
    times = np.array([0.0, 0.5, 0.9, 1.5])
    one, many = both(SQUARE, [[1.0], [0.1]], times)
    np.testing.assert_array_equal(np.isnan(one.y), np.isnan(many.y))
    assert one.status.tolist() == [1, 0]
    assert one.reached[0] == pytest.approx(1.0, abs=1e-6)
    assert "blew up" in one.message


def test_a_bound_ends_a_trajectory():
    one, many = both(SQUARE, [[1.0]], np.linspace(0, 0.99, 100), bound=5.0)
    np.testing.assert_array_equal(np.isnan(one.y), np.isnan(many.y))
    assert np.nanmax(one.y) <= 5.0
    assert one.reached[0] == pytest.approx(0.8, abs=0.1)


def test_work_is_bounded():
    stiff = system(PolynomialLift(1), 1, 0, {"x0": -1e6})
    one, _ = both(stiff, [[1.0]], [0.0, 10.0, 20.0], max_steps=50)
    assert one.status.tolist() == [2]
    assert np.isnan(one.y[0, 1:]).all()


def test_a_pole_is_an_end():
    # x' = -1 / x reaches zero at t = 1/2 and cannot go on.
    pole = system(PolynomialLift(1), 1, 0, {"1": -1.0}, below=[{"x0": 1.0}])
    one = integrate_singly(pole.function, [[1.0]], [0.0, 0.25, 1.0])
    assert one.status[0] != 0
    np.testing.assert_allclose(one.y[0, :2, 0], [1.0, np.sqrt(0.5)], rtol=1e-5)
    assert np.isnan(one.y[0, 2, 0])
    assert one.reached[0] == pytest.approx(0.5, abs=1e-3)
    # At the pole there is no derivative at all.
    assert integrate_singly(pole.function, [[0.0]], [0.0, 1.0]).status.tolist() == [1]


def test_float32_is_answered_in_float32():
    starts = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
    one, many = both(LORENZ, starts, [0.0, 0.1])
    np.testing.assert_allclose(one.y, many.y, rtol=1e-6)


def test_only_the_start_is_asked_for():
    one = integrate_singly(LORENZ.function, np.ones((2, 3)), [1.0])
    np.testing.assert_array_equal(one.y, np.ones((2, 1, 3)))


def test_what_cannot_go_one_by_one_is_told():
    assert most_singly(LORENZ.function, "dop853") > 1
    assert most_singly(LORENZ.function, "lsoda") == 0
    assert most_singly(lambda x, u: x, "dop853") == 0
    own = system(FunctionLift([np.tanh], names=["tanh"]), 1, 0, {"tanh": 1.0})
    assert most_singly(own.function, "dop853") == 0
    dense = fit_library(PolynomialLift(2), as_trajectories(np.eye(20)), None)
    wide = Equations(np.ones((20, len(dense.terms))), dense)
    assert most_singly(wide.function, "dop853") == 0
    with pytest.raises(ValueError, match="small system in floats"):
        integrate_singly(wide.function, np.ones((1, 20)), [0.0, 1.0])
    with pytest.raises(ValueError, match="need to increase"):
        integrate_singly(LORENZ.function, np.ones((1, 3)), [1.0, 0.0])
