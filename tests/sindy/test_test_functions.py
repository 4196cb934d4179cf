"""Test functions: known integrals, laws of convolution, and what is told from data."""

import numpy as np
import pytest
from scipy.integrate import quad

from skdyn.sindy._test_functions import (
    Bump,
    choose_bump,
    convolve,
    noise_variance,
    rate_of_change,
    weak_matrix,
)


def test_bump_has_unit_integral_and_its_deviation():
    bump = Bump(1.3, 7)
    assert np.isclose(quad(bump, -1.3, 1.3)[0], 1.0, rtol=1e-12)
    second = quad(lambda t: t**2 * bump(t), -1.3, 1.3)[0]
    assert np.isclose(np.sqrt(second), bump.deviation, rtol=1e-12)
    assert bump(0.0) == pytest.approx(bump.height)
    assert not bump(np.array([-1.3, 1.3, 5.0])).any()


@pytest.mark.parametrize("order", range(1, 6))
def test_derivatives_integrate_back(order):
    bump = Bump(0.8, 5)
    for t in (-0.5, 0.1, 0.7):
        below = quad(lambda s: float(bump(s, order)), -0.8, t, epsabs=1e-12)[0]
        assert np.isclose(below, bump(t, order - 1), rtol=1e-8, atol=1e-8)


def test_derivative_above_the_degree_is_refused():
    with pytest.raises(ValueError, match=r"up to order 3 .* got order 4.*Raise"):
        Bump(1.0, 3)(0.0, 4)


def test_transform_is_the_integral():
    bump = Bump(1.3, 7)
    for w in (0.0, 0.5, 3.0, 10.0):
        integral = quad(lambda t, w=w: bump(t) * np.cos(w * t), -1.3, 1.3)[0]
        assert np.isclose(bump.transform(w), integral, atol=1e-12)


@pytest.mark.parametrize("order", range(1, 5))
def test_integration_by_parts_is_exact_for_polynomials(order):
    # Both sides are sums of polynomials, of degree below what sums over rows integrate.
    bump, h = Bump(0.31, 12), 0.01
    t = h * np.arange(200)
    f = np.polynomial.Polynomial([0.3, -1.0, 2.0, 0.5, -0.7])
    derived = convolve(f.deriv(order)(t), bump.taps(h))
    by_parts = convolve(f(t), bump.taps(h, order))
    assert np.allclose(by_parts, derived, rtol=0, atol=1e-8 * 10**order)
    middle = t[bump.reach(h) : -bump.reach(h)]
    if order == 4:
        # An average of a constant is the constant.
        assert np.allclose(derived, f.deriv(4)(middle), rtol=1e-12)


def test_sums_are_integrals_where_aliasing_is_none():
    h = 0.05
    for half_width, exact in ((0.6, True), (0.13, False)):
        bump = Bump(half_width, 10)
        t = h * np.arange(-60, 61) + 0.017
        total = h * np.sum(bump(t) * np.cos(3 * t))
        truth = bump.transform(3.0)
        assert (bump.aliasing(h) < 1e-9) == exact
        assert (abs(total - truth) < 1e-9) == exact


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("width", [1, 4, 19])
def test_convolution_is_the_sum(stride, axis, width):
    rng = np.random.default_rng(0)
    values, taps = rng.standard_normal((20, 45, 31)), rng.standard_normal(width)
    front = np.moveaxis(values, axis, 0)
    want = np.stack(
        [
            np.tensordot(taps, front[k : k + width], 1)
            for k in range(0, len(front) - width + 1, stride)
        ]
    )
    got = convolve(values, taps, axis, stride)
    assert np.allclose(np.moveaxis(got, axis, 0), want, atol=1e-12)


def test_wide_windows_go_by_fft_and_say_the_same():
    rng = np.random.default_rng(0)
    values, taps = rng.standard_normal((900, 2)), rng.standard_normal(301)
    want = np.stack([np.convolve(v, taps[::-1], "valid") for v in values.T], axis=1)
    assert np.allclose(convolve(values, taps), want, atol=1e-11)
    assert np.allclose(convolve(values, taps, stride=7), want[::7], atol=1e-11)


def test_products_in_several_dimensions_are_separable():
    # The mixed derivative of a field, in the weak form of both axes.
    t, x = 0.02 * np.arange(90), 0.03 * np.arange(80)
    field = np.exp(-t)[:, None] * np.sin(2 * x)
    in_t, in_x = Bump(0.5, 9), Bump(0.7, 9)
    mixed = convolve(convolve(field, in_t.taps(0.02, 1), 0), in_x.taps(0.03, 2), 1)
    means = convolve(convolve(field, in_t.taps(0.02), 0), in_x.taps(0.03), 1)
    assert np.allclose(mixed, 4 * means, rtol=1e-8)


def test_window_longer_than_the_data_is_refused():
    with pytest.raises(ValueError, match="needs 5 or more, got 4"):
        convolve(np.ones(4), np.ones(5))


def test_uneven_weights_are_the_even_ones_on_even_times():
    bump, h = Bump(0.3, 8), 0.02
    t = h * np.arange(120)
    matrices = weak_matrix(t, t[30:90], bump, h, (0, 1))
    f = np.random.default_rng(0).standard_normal(120)
    for matrix, order in zip(matrices, (0, 1), strict=True):
        reach = bump.reach(h)
        want = convolve(f, bump.taps(h, order))[30 - reach : 90 - reach]
        assert np.allclose(matrix @ f, want, atol=1e-10)


def test_uneven_integration_by_parts():
    rng = np.random.default_rng(0)
    t = 0.02 * np.arange(400) + rng.uniform(-0.008, 0.008, 400)
    mean, slope = weak_matrix(t, t[40:-40], Bump(0.4, 8), 0.02, (0, 1))
    # Polynomials of the degree of the interpolation go through without error.
    assert np.allclose(slope @ t**5, mean @ (5 * t**4), rtol=1e-7, atol=1e-6)
    assert np.allclose(slope @ np.sin(3 * t), mean @ (3 * np.cos(3 * t)), atol=1e-9)


def test_noise_is_found_and_signals_are_not():
    rng = np.random.default_rng(0)
    t = 0.05 * np.arange(3000)
    clean = np.stack([np.sin(t), 5 + 3 * np.cos(1.7 * t) ** 3], axis=1)
    assert (noise_variance(clean) < 1e-20).all()
    for s in (1e-4, 0.1):
        e = s * np.array([1.0, 2.0])
        noisy = clean + e * rng.standard_normal(clean.shape)
        assert np.allclose(np.sqrt(noise_variance(noisy)), e, rtol=0.08)
        jitter = t + 0.01 * rng.uniform(-1, 1, len(t))
        rows = np.stack([np.sin(jitter), np.cos(jitter)], axis=1)
        rows = rows + s * rng.standard_normal(rows.shape)
        assert np.allclose(np.sqrt(noise_variance(rows, jitter)), s, rtol=0.08)
    # Sampled coarsely, but still no noise.
    assert not noise_variance(np.sin(0.9 * np.arange(300.0))[:, None]).any()


def test_rate_of_a_sine_is_its_frequency():
    t = 0.05 * np.arange(3000)
    rows = np.stack([np.sin(2 * t), 7 + 3 * np.cos(2 * t)], axis=1)
    assert np.isclose(rate_of_change(rows, 0.05, np.zeros(2)), 2.0, rtol=0.01)
    rng = np.random.default_rng(0)
    noise = np.array([0.2, 0.6])
    noisy = rows + noise * rng.standard_normal(rows.shape)
    assert np.isclose(rate_of_change(noisy, 0.05, noise**2), 2.0, rtol=0.05)
    assert rate_of_change(np.ones((50, 2)), 0.05, np.zeros(2)) == 0.0


def test_choice_scales_with_time():
    slow, fast = choose_bump(1.0, 0.01, 5000), choose_bump(100.0, 1e-4, 5000)
    assert slow.degree == fast.degree
    assert np.isclose(slow.half_width, 100 * fast.half_width)
    assert np.isclose(slow.deviation, 0.4)
    assert slow.aliasing(0.01) < 1e-13


def test_choice_leaves_windows_in_short_data():
    for n in range(5, 60):
        bump = choose_bump(1e-3, 1.0, n)
        assert n - 2 * bump.reach(1.0) >= min(max(n // 5, 1), 10)


def test_choice_keeps_what_is_given():
    assert choose_bump(1.0, 0.1, 100, half_width=0.7).half_width == 0.7
    assert choose_bump(1.0, 0.01, 900, degree=3) == Bump(0.4 * 3, 3)
