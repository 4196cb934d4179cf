"""Fixed points, cycles, regions and symbols of piecewise-linear maps."""

# ruff: noqa: PT018

import warnings
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skdyn.base import ForecasterMixin
from skdyn.inspection import FixedPoints, fixed_points, lyapunov_spectrum
from skdyn.neural import PLRNN, PiecewiseLinearMap
from skdyn.neural._linear_regions import LinearRegionsMixin
from skdyn.neural._region_search import all_regions


def numbers(text, n_rows):
    return np.array(text.split(), dtype=float).reshape(n_rows, -1)


# Parameters of the systems that SCYFI was published with.
ONE_POINT = {
    "A": [1.4799836250879086, -1.6945099980546405],
    "W1": numbers(
        """
    0.8900829721936014 0.24766868576521212 0.2554263710950393 -0.5771080679179108
    -2.129379740761085 0.031728042646673976 -0.7740703525170001
    0.04768259094291391 0.6792959504153095 -1.7781119769858111 0.6297279024943379
    0.5586975133684497 -0.18842627535543358 0.7152028558426154 2.238266026927219
    1.0163441695005024 0.6115773461504028 1.8513040760318145 0.5127750227966122
    -2.337416929726536
    """,
        2,
    ),
    "W2": numbers(
        """
    -0.7543485848832211 0.857424094861255 -0.12981333832339487 0.9290731862819631
    0.06164740828503748 -1.6206522735934827 0.1856635717214527 0.23370129970278428
    1.4788242336217083 -1.4604870389877311 -0.04197765409809221 0.364736070574788
    0.04390077093273831 -0.6840588607748522 0.34236696876785494
    -0.6110477480680268 0.11164936136447304 0.2509392315579666 0.9314203111545968
    0.18253806886914628
    """,
        10,
    ),
    "h1": [0.18005923664630755, 0.42057092737475477],
    "h2": numbers(
        """
    -0.017897789466083707 1.014731429962641 -0.3431368102401408
    -2.3065949842414866 -0.7738820872835147 0.009176181040445722
    0.6395596355828497 -0.3762485593614053 -0.12524612444111408
    0.25769322230050085
    """,
        1,
    )[0],
}
TWO_AND_FOUR = {
    "A": [0.6172450705591427, 0.5261273846061184],
    "W1": numbers(
        """
    -1.022331291385995 -0.6068651009735164 0.005478115970447768
    -0.6765758765817282 0.17667276783032312 -0.37241595029711383
    -0.2799681077442852 1.6336122869854053 0.7388068389577566 0.43655916960874785
    -0.23031703096807454 -0.155167269588236 1.1743020054655264 1.4693401983283279
    -1.141192841208352 0.11938698490497139 0.6192500266755361 0.03950302999313116
    -0.9179498107708933 -0.1216362805456489
    """,
        2,
    ),
    "W2": numbers(
        """
    1.753949852408234 -0.692574927107241 -0.45303568496148183 -0.5365936668032565
    0.07984706960954363 -0.48651643130319855 -1.0455124065967838
    -0.22986736948781128 0.048362883726876985 0.8959123953895494
    -1.0545422354241465 0.5685368747406444 -0.43826625604171476
    -2.1955495493951815 -0.8981129185384389 -0.6454540072455006 0.6162103523913983
    -0.8644618121879155 -1.2236281701654421 -2.059927291272103
    """,
        10,
    ),
    "h1": [-0.5480895548836227, -0.2922735885352696],
    "h2": numbers(
        """
    0.5352937111114038 -1.110030373073419 -1.3146036515301616 0.2748467715335772
    -1.4155203620983157 0.7891282169615852 -0.13084812694281087
    -0.40652418385647066 -0.9383323642698853 -0.9983356016811977
    """,
        1,
    )[0],
}


def planar(a1, w1, w2=0.52505308, a2=0.96461297, h2=-0.97931491):
    """The plane with two rectified units of Eisenmann et al."""
    W = [[0.0, w1], [w2, 0.0]]
    return PiecewiseLinearMap([a1, a2], W, np.eye(2), [0.37298253, h2], [0.0, 0.0])


def tent(slope):
    """Slope * z below 1/2, slope * (1 - z) above."""
    return PiecewiseLinearMap([slope], [[-2 * slope]], [[1.0]], [0.0], [-0.5])


def random_map(seed, n_state=2, n_hinges=4, gain=1.0):
    rng = np.random.RandomState(seed)
    return PiecewiseLinearMap(
        rng.uniform(-0.9, 0.9, n_state),
        gain * rng.standard_normal((n_state, n_hinges)),
        rng.standard_normal((n_hinges, n_state)),
        rng.standard_normal(n_state),
        rng.standard_normal(n_hinges),
    )


def by_brute_force(plmap, period):
    """The cycles, as sets of states, that any sequence of patterns leads to."""
    M, H = plmap.n_state, plmap.n_hinges
    patterns = np.array(list(product([0.0, 1.0], repeat=H))).reshape(2**H, H)
    cycles = []
    for which in product(range(len(patterns)), repeat=period):
        P, q = np.eye(M), np.zeros(M)
        for i in which:
            D = np.diag(patterns[i])
            J = plmap.A + plmap.W1 @ D @ plmap.W2
            P, q = J @ P, J @ q + plmap.W1 @ D @ plmap.h2 + plmap.h1
        states = plmap.orbit(np.linalg.solve(np.eye(M) - P, q), period)
        if np.abs(plmap(states[-1]) - states[0]).max() > 1e-8:
            continue
        if period > 1 and np.abs(states[1:] - states[0]).max(axis=1).min() < 1e-6:
            continue
        lowest = states[np.lexsort(states.T[::-1])[0]]
        if all(np.abs(lowest - other).max() > 1e-6 for other in cycles):
            cycles.append(lowest)
    return np.array(sorted(cycles, key=tuple)).reshape(-1, M)


class PLForecaster(LinearRegionsMixin, ForecasterMixin, BaseEstimator):
    """A given map as a forecaster in other units: what the mixin needs, no more."""

    min_context_ = 2

    def __init__(self, plmap=None, dt=1.0):
        self.plmap = plmap
        self.dt = dt

    def fit(self, X, y=None):
        trajectories = self._check_fit(X)[0]
        n = self.n_features_in_
        self.B_ = np.eye(n, self.plmap.n_state)
        self.mean_, self.scale_ = np.arange(1.0, n + 1), np.arange(2.0, n + 2)
        self._remember(trajectories)
        return self

    def __sklearn_is_fitted__(self):
        return hasattr(self, "context_")

    def _piecewise_linear(self, u=None):
        p = self.plmap
        return p.A, p.W1, p.W2, p.h1, p.h2

    def _begin(self, contexts, u):
        return (contexts[:, -1] - self.mean_) / self.scale_

    def _step(self, state, u):
        state = self.plmap(state)
        return state, self.mean_ + self.scale_ * state


# -- the map -----------------------------------------------------------------------


def test_forms_of_the_network_are_such_maps():
    rng = np.random.RandomState(0)
    z = rng.standard_normal((50, 4))
    A, h = rng.standard_normal(4), rng.standard_normal(4)
    W1, W2 = rng.standard_normal((4, 6)), rng.standard_normal((6, 4))
    h2 = rng.standard_normal(6)

    def relu(x):
        return np.maximum(x, 0)

    shallow = A * z + relu(z @ W2.T + h2) @ W1.T + h
    assert_allclose(PiecewiseLinearMap.shallow(A, W1, W2, h, h2)(z), shallow)
    clipped = A * z + (relu(z @ W2.T + h2) - relu(z @ W2.T)) @ W1.T + h
    assert_allclose(PiecewiseLinearMap.clipped(A, W1, W2, h, h2)(z), clipped)
    W, alphas = rng.standard_normal((4, 4)), rng.standard_normal(3)
    bases = rng.standard_normal((3, 4))
    phi = sum(a * relu(z - b) for a, b in zip(alphas, bases, strict=True))
    dendritic = PiecewiseLinearMap.dendritic(A, W, alphas, bases, h)
    assert_allclose(dendritic(z), A * z + phi @ W.T + h)
    phi = np.hstack([z[:, :3], relu(z[:, 3:])])
    almost = PiecewiseLinearMap.almost_linear(A, W, h, n_relu=1)
    assert_allclose(almost(z), A * z + phi @ W.T + h)
    assert almost.n_hinges == 1
    whole = PiecewiseLinearMap.almost_linear(np.diag(A), W, h, n_relu=4)
    assert_allclose(whole(z), A * z + relu(z) @ W.T + h)


def test_a_region_is_linear_and_its_matrix_the_derivative():
    plmap = random_map(0, n_state=3, n_hinges=7)
    z = np.random.RandomState(1).standard_normal((5, 20, 3))
    J, b = plmap.region(plmap.patterns(z))
    assert_allclose(np.einsum("...ij,...j->...i", J, z) + b, plmap(z), atol=1e-12)
    steps = 1e-7 * np.eye(3)
    ahead, back = (plmap(z[..., None, :] + s * steps) for s in (1, -1))
    slopes = ((ahead - back) / 2e-7).swapaxes(-1, -2)
    # No state lies so near to a hinge that a difference reaches across.
    assert_allclose(slopes, plmap.jacobian(z), atol=1e-6)


def test_a_map_is_checked_and_cannot_be_changed():
    with pytest.raises(ValueError, match=r"needs W1 of shape \(2, 1\), got \(1, 2\)"):
        PiecewiseLinearMap([1, 1], [[1, 1]], [[1, 1]], [0, 0], [0])
    with pytest.raises(ValueError, match="NaN or inf in h1"):
        PiecewiseLinearMap([1], [[1]], [[1]], [np.nan], [0])
    with pytest.raises(ValueError, match="n_relu between 0 and the 2 units, got 3"):
        PiecewiseLinearMap.almost_linear([1, 1], np.eye(2), [0, 0], 3)
    A = np.ones(2)
    plmap = PiecewiseLinearMap(A, np.eye(2), np.eye(2), [0, 0], [0, 0])
    A[:] = 5
    assert_array_equal(plmap.A, np.eye(2))
    with pytest.raises(ValueError, match="read-only"):
        plmap.W1[0, 0] = 3


# -- cycles: published systems -----------------------------------------------------


def test_scyfi_fixed_point_of_a_shallow_network():
    found = PiecewiseLinearMap.shallow(**ONE_POINT).fixed_points()
    assert found.is_complete and len(found) == 1
    assert_allclose(found.states, [[-0.03, 0.40]], atol=5e-3)


def test_scyfi_fixed_point_of_a_planar_network():
    found = planar(a1=-0.0222311, w1=-0.64375).fixed_points()
    assert found.is_complete and len(found) == 1
    assert_allclose(found.states, [[0.36, -22.26]], atol=5e-3)


def test_scyfi_two_2_cycles_and_one_4_cycle():
    plmap = PiecewiseLinearMap.shallow(**TWO_AND_FOUR)
    for period, n in [(1, 0), (2, 2), (3, 0)]:
        found = plmap.fixed_points(period)
        assert found.is_complete and len(found) == n
    found = plmap.fixed_points(4)
    assert not found.is_complete and len(found) == 1
    assert found.unseen == 0


@pytest.mark.parametrize(
    ("period", "system"),
    [
        (16, {"a1": 0.8377689, "w1": -0.64375}),
        (27, {"a1": 0.9777689, "w1": -0.14375}),
        (80, {"a1": 0.9777689, "w1": -0.14375, "h2": -0.77931491}),
    ],
)
def test_scyfi_long_cycles_come_in_pairs(period, system):
    found = planar(**system).fixed_points(period)
    assert len(found) == 2
    assert sorted(found.is_stable) == [False, True]
    assert found.residuals.max() < 1e-10
    assert found.margins.min() > 0


def test_scyfi_no_cycle_where_there_is_none():
    with pytest.warns(ConvergenceWarning, match="found none of period 15 from 512"):
        found = planar(a1=0.8377689, w1=-0.64375).fixed_points(15)
    assert len(found) == 0 and np.isnan(found.unseen)
    assert "0 cycles of period 15, 0 stable; 0 of 512 starts" in repr(found)


# -- cycles: laws ------------------------------------------------------------------


@pytest.mark.parametrize("max_sequences", [0, 100_000])
@pytest.mark.parametrize("period", [1, 2, 3, 5])
def test_every_cycle_is_one(period, max_sequences):
    for seed in (1, 5, 6):
        plmap = random_map(seed, n_state=3, n_hinges=5, gain=1.3)
        found = _quietly(plmap, period, seed, max_sequences)
        assert isinstance(found, FixedPoints)
        for states, D, values in zip(
            found.orbits, found.patterns, found.eigenvalues, strict=True
        ):
            size = 1 + np.abs(states).max()
            assert_allclose(
                plmap(states), np.roll(states, -1, axis=0), atol=1e-10 * size
            )
            assert_array_equal(plmap.patterns(states), D)
            P = np.eye(3)
            for z in states:
                P = plmap.jacobian(z) @ P
            expected = np.linalg.eigvals(P)
            assert_allclose(np.abs(values), np.sort(np.abs(expected))[::-1], rtol=1e-7)
            # No shorter period.
            apart = np.abs(states[1:] - states[0]).max(axis=1, initial=0)
            assert (apart > 1e-6).all()
        assert_array_equal(found.is_stable, np.abs(found.eigenvalues).max(1) < 1)
        assert_array_equal(found.points, found.states)


def _quietly(plmap, period, seed, max_sequences=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return plmap.fixed_points(
            period, n_starts=128, max_sequences=max_sequences, random_state=seed
        )


@pytest.mark.parametrize(("period", "n_hinges"), [(1, 6), (2, 4), (3, 3)])
def test_a_complete_answer_is_that_of_brute_force(period, n_hinges):
    n_true = n_searched = 0
    for seed in range(6):
        plmap = random_map(seed, n_hinges=n_hinges, gain=3.0)
        truth = by_brute_force(plmap, period)
        found = plmap.fixed_points(period)
        assert found.is_complete
        assert_allclose(found.states, truth, rtol=1e-8, atol=1e-8)
        searched = _quietly(plmap, period, 0)
        assert not searched.is_complete
        # A search finds some of them, and nothing else.
        for state in searched.states:
            apart = np.abs(state - truth).max(axis=1)
            assert apart.min() < 1e-8 * (1 + np.abs(state).max())
        n_true += len(truth)
        n_searched += len(searched)
    assert n_true >= 3
    assert n_searched >= 0.7 * n_true


def test_the_tent_map_has_as_many_cycles_as_there_are_primitive_necklaces():
    # All of its 2^p points of period p are unstable, with the eigenvalues 2^p.
    for period, n in [(1, 2), (2, 1), (3, 2), (4, 3), (5, 6), (6, 9), (8, 30)]:
        found = tent(2.0).fixed_points(period)
        assert found.is_complete and len(found) == n
        assert_allclose(np.abs(found.eigenvalues), 2.0**period)
        assert_allclose(found.growth_rates, np.log(2))
    searched = tent(2.0).fixed_points(8, max_sequences=0, n_starts=1000)
    apart = np.abs(searched.states - found.states[:, 0]).min(axis=1)
    assert_allclose(apart, 0, atol=1e-10)
    assert len(searched) >= 25
    assert searched.counts.sum() == searched.n_converged
    assert searched.unseen < 0.02


def test_clipped_dendritic_and_almost_linear_maps_agree_with_brute_force():
    rng = np.random.RandomState(3)
    A, h = np.array([0.6, 0.8]), rng.standard_normal(2)
    maps = [
        PiecewiseLinearMap.clipped(
            A,
            2 * rng.standard_normal((2, 3)),
            rng.standard_normal((3, 2)),
            h,
            [1, 2, 3],
        ),
        PiecewiseLinearMap.dendritic(
            A, rng.standard_normal((2, 2)), [1, -2, 1.5], rng.randn(3, 2), h
        ),
        PiecewiseLinearMap.almost_linear(A, rng.standard_normal((2, 2)), h, 1),
        PiecewiseLinearMap.almost_linear(A, rng.standard_normal((2, 2)), h, 0),
    ]
    n_found = 0
    for plmap in maps:
        truth = by_brute_force(plmap, 1)
        found = plmap.fixed_points()
        assert found.is_complete
        assert_allclose(found.states, truth, rtol=1e-8, atol=1e-8)
        n_found += len(truth)
    assert n_found >= 3


def test_newtons_method_of_inspection_finds_the_same():
    plmap = planar(a1=-0.0222311, w1=-0.64375)
    ours = plmap.fixed_points()
    other = fixed_points(plmap, starts=[[0.0, 0.0], [1.0, -20.0]])
    assert_allclose(ours.states, other.states, rtol=1e-9)
    assert_allclose(ours.eigenvalues, other.eigenvalues, atol=1e-6)


def test_many_solutions_are_not_called_complete():
    # A line attractor: the first state keeps what it has.
    plmap = PiecewiseLinearMap([1.0, 0.5], [[0.0], [0.1]], [[1.0, 1.0]], [0, 0], [0])
    found = plmap.fixed_points()
    assert not found.is_complete
    assert not found.is_isolated.any()
    # Where each step moves it on, there is none.
    moved = PiecewiseLinearMap([1.0, 0.5], [[0.0], [0.1]], [[1.0, 1.0]], [1, 0], [0])
    found = moved.fixed_points()
    assert found.is_complete and len(found) == 0


def test_orbits_given_are_where_the_search_starts():
    # Two wells far apart; all starts are in the right one.
    plmap = PiecewiseLinearMap(
        [0.5], [[1.0, -1.0, 1.0]], [[1.0], [1.0], [1.0]], [-1.0], [0.5, -0.5, -100.0]
    )
    near = plmap.orbit([0.1], 50)
    found = plmap.fixed_points(orbits=[near], max_sequences=0, n_starts=8)
    assert found.n_starts == 8
    assert_allclose(plmap(found.states), found.states, atol=1e-12)
    whole = plmap.fixed_points()
    assert whole.is_complete and whole.n_regions == 4
    assert {round(z, 9) for z in found.states[:, 0]} <= {
        round(z, 9) for z in whole.states[:, 0]
    }


def test_the_search_is_repeatable():
    plmap = planar(a1=0.9777689, w1=-0.14375)
    one, two = (plmap.fixed_points(27, random_state=3) for _ in range(2))
    assert_array_equal(one.orbits, two.orbits)
    assert_array_equal(one.counts, two.counts)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"period": 0}, "period needs a whole number of at least 1, got 0"),
        ({"n_starts": 2.5}, "n_starts needs a whole number"),
        ({"max_sequences": -1}, "max_sequences needs a whole number of at least 0"),
        ({"orbits": np.ones((3, 3))}, r"orbits need shape \(n_samples, 1\)"),
        ({"orbits": [[np.nan]]}, "orbits need finite states"),
    ],
)
def test_what_cannot_be_asked(given, message):
    with pytest.raises(ValueError, match=message):
        tent(1.5).fixed_points(**given)


# -- units -------------------------------------------------------------------------


def in_other_units(plmap, s, r=1.0):
    """The map conjugated by z -> s z, its hinges multiplied by r."""
    s = np.broadcast_to(np.asarray(s, dtype=float), (plmap.n_state,))
    r = np.broadcast_to(np.asarray(r, dtype=float), (plmap.n_hinges,))
    return PiecewiseLinearMap(
        plmap.A * s[:, None] / s,
        plmap.W1 * s[:, None] / r,
        plmap.W2 * r[:, None] / s,
        plmap.h1 * s,
        plmap.h2 * r,
    )


def alike(found, other, s):
    """Assert that cycles are those of the same map in other units."""
    assert len(found) == len(other)
    assert found.n_regions == other.n_regions
    assert found.is_complete == other.is_complete
    assert_array_equal(found.patterns, other.patterns)
    assert_array_equal(found.is_stable, other.is_stable)
    assert_array_equal(found.counts, other.counts)
    size = np.abs(found.orbits).max(axis=(0, 1), initial=1e-300)
    assert_allclose(other.orbits / s / size, found.orbits / size, atol=1e-9)
    assert_allclose(other.eigenvalues, found.eigenvalues, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("s", [1e-12, 1e-6, 1e-3, 1e3, 1e6, 1e12])
@pytest.mark.parametrize("period", [1, 2, 3])
def test_units_of_the_state_do_not_matter(s, period):
    n_found = 0
    for seed in range(6):
        plmap = random_map(seed, n_hinges=4 if period < 3 else 3, gain=3.0)
        found = plmap.fixed_points(period)
        other = in_other_units(plmap, s).fixed_points(period)
        assert other.is_complete
        alike(found, other, s)
        assert_allclose(other.margins, s * found.margins, rtol=1e-6)
        n_found += len(found)
    assert n_found >= 2


@pytest.mark.parametrize("span", [3, 8])
def test_units_of_each_state_and_hinge_do_not_matter(span):
    n_found = 0
    for seed in range(12):
        rng = np.random.RandomState(seed)
        plmap = random_map(seed, n_state=3, n_hinges=5, gain=2.0)
        s = 10.0 ** rng.uniform(-span, span, 3)
        r = 10.0 ** rng.uniform(-span, span, 5)
        found = plmap.fixed_points()
        alike(found, in_other_units(plmap, s, r).fixed_points(), s)
        n_found += len(found)
    assert n_found >= 6


@pytest.mark.parametrize("power", [-40, 20])
def test_units_do_not_matter_to_a_search(power):
    # By powers of two nothing is rounded: the search itself is the same.
    systems = [
        (planar(a1=0.8377689, w1=-0.64375), 16),
        (planar(a1=0.9777689, w1=-0.14375), 27),
        (PiecewiseLinearMap.shallow(**TWO_AND_FOUR), 4),
    ]
    for plmap, period in systems:
        for s in (np.array([2.0**power] * 2), np.array([2.0**power, 1.0])):
            found = plmap.fixed_points(period, max_sequences=0)
            other = in_other_units(plmap, s).fixed_points(period, max_sequences=0)
            assert len(found) > 0
            alike(found, other, s)


def test_a_small_map_has_no_points_outside_of_their_regions():
    # Two branches, z / 2 + 1 and z / 2 - 1 with a ramp between: the centres 2 and -2 of
    # both lie in the other one's region, and the one fixed point is on the ramp.
    plmap = PiecewiseLinearMap([0.5], [[-2.0, 2.0]], [[1.0], [1.0]], [1.0], [0.5, -0.5])
    found = plmap.fixed_points()
    assert_allclose(found.states, [[0.0]], atol=1e-15)
    for s in (1e-7, 1e-11, 1e-15):
        small = in_other_units(plmap, s).fixed_points()
        assert small.is_complete
        assert_allclose(small.states / s, [[0.0]], atol=1e-12)


def test_units_of_a_state_without_offsets():
    # The second state is moved by the first only, the third by nothing, and both rest.
    plmap = PiecewiseLinearMap(
        np.array([[0.5, 0.0, 0.1], [0.3, 0.2, 0.0], [0.0, 0.0, 0.5]]),
        [[1.0], [0.0], [0.0]],
        [[0.0, 1.0, 1.0]],
        [1.0, 0.0, 0.0],
        [0.0],
    )
    found = plmap.fixed_points()
    assert found.is_complete
    assert len(found) == 1
    for s in (1e-9, 1e9):
        for units in ([s, 1, 1], [1, s, 1], [1, 1, s], [s, s, s]):
            alike(found, in_other_units(plmap, units).fixed_points(), np.array(units))
    # Where there are no offsets at all, only the origin rests.
    still = PiecewiseLinearMap(plmap.A, plmap.W1, plmap.W2, np.zeros(3), [0.0])
    found = still.fixed_points()
    assert found.is_complete
    for units in ([1e-9, 1, 1], [1, 1e9, 1], [1, 1, 1e-9]):
        alike(found, in_other_units(still, units).fixed_points(), np.array(units))


def test_a_small_push_beside_large_ones_is_no_singularity():
    # The second state is pushed by 1e-14 only, and by the first with 0.5.
    plmap = PiecewiseLinearMap(
        np.array([[0.5, 0.0], [0.5, 0.5]]), [[1.0], [0]], [[0, 1.0]], [1, 1e-14], [-9]
    )
    found = plmap.fixed_points()
    assert found.is_complete
    # The other one is beyond the hinge.
    assert_allclose(found.states, [[2.0, 2.0], [16.0, 16.0]])


def test_centres_do_not_depend_on_units():
    plmap = random_map(7, n_state=3, n_hinges=6)
    orbit = np.random.RandomState(0).standard_normal((200, 3))
    s = np.array([1e-7, 1.0, 1e7])
    centres = plmap.linear_regions(orbit).centres
    other = in_other_units(plmap, s).linear_regions(orbit * s).centres
    assert np.isfinite(centres).all()
    assert_allclose(other / s, centres, rtol=1e-9)


# -- regions -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_state", "n_hinges", "n"), [(1, 9, 10), (2, 10, 56), (3, 8, 93), (4, 6, 57)]
)
def test_regions_in_general_position_are_each_found_once(n_state, n_hinges, n):
    rng = np.random.RandomState(0)
    W, h = rng.standard_normal((n_hinges, n_state)), rng.standard_normal(n_hinges)
    regions = all_regions(W, h, most=10_000)
    # The sum of binomial coefficients (n_hinges over j), j up to n_state.
    assert len(regions) == n == len(np.unique(regions, axis=0))
    z = 5 * rng.standard_normal((20_000, n_state))
    seen = np.unique(z @ W.T + h > 0, axis=0)
    assert len(np.unique(np.concatenate([regions, seen]), axis=0)) == n
    assert all_regions(W, h, most=n - 1) is None


def test_regions_of_hinges_in_special_positions_are_all_there():
    rng = np.random.RandomState(0)
    W, h = rng.standard_normal((5, 3)), rng.standard_normal(5)
    # All of the second half meet in the origin, and are parallel to the first half.
    W, h = np.concatenate([W, W]), np.concatenate([h, np.zeros(5)])
    # And one that is no hinge at all.
    W, h = np.concatenate([W, np.zeros((1, 3))]), np.append(h, 1.0)
    regions = all_regions(W, h, most=10_000)
    z = rng.standard_normal((100_000, 3)) * np.exp(
        2 * rng.standard_normal((100_000, 1))
    )
    seen = np.unique(z @ W.T + h > 0, axis=0)
    both = np.unique(np.concatenate([regions, seen]), axis=0)
    assert len(both) == len(regions) and len(seen) > 100
    assert regions[:, -1].all()


def test_rectified_units_have_all_patterns():
    W = np.eye(5)[2:]
    assert len(all_regions(W, np.zeros(3), most=100)) == 8
    assert all_regions(np.zeros((0, 2)), np.zeros(0), most=1).shape == (1, 0)


# -- symbols -----------------------------------------------------------------------


def test_symbols_spell_the_orbit():
    plmap = random_map(4, n_hinges=8, gain=0.5)
    rng = np.random.RandomState(0)
    orbits = [rng.standard_normal((200, 2)), rng.standard_normal((77, 2))]
    regions = plmap.linear_regions(orbits, dt=0.1)
    for orbit, symbols in zip(orbits, regions.symbols, strict=True):
        assert_array_equal(regions.patterns[symbols], plmap.patterns(orbit))
        J, b = regions.jacobians[symbols], regions.offsets[symbols]
        assert_allclose(np.einsum("nij,nj->ni", J, orbit) + b, plmap(orbit), atol=1e-12)
    assert len(np.unique(regions.patterns, axis=0)) == len(regions)
    assert (np.diff(regions.counts) <= 0).all() and regions.counts.sum() == 277
    # No transition from one orbit to the other.
    assert regions.transitions.sum() == 199 + 76
    a, b = regions.symbols[0][:2]
    assert regions.transitions[a, b] >= 1
    words, counts = regions.words(3)
    assert counts.sum() == 198 + 75 and words.shape == (len(counts), 3)


def test_centres_are_fixed_points_of_their_regions():
    plmap = random_map(7, n_hinges=6)
    found = plmap.fixed_points()
    regions = plmap.linear_regions(found.states)
    centres = regions.centres[regions.symbols[0]]
    assert len(found) and regions.eigenvalues.shape == (len(regions), 2)
    assert_allclose(centres, found.states, atol=1e-9)
    assert_allclose(
        regions.eigenvalues[regions.symbols[0]], found.eigenvalues, atol=1e-9
    )
    still = PiecewiseLinearMap([1.0], [[1.0]], [[1.0]], [1.0], [0.0])
    assert np.isnan(still.linear_regions([[-1.0], [-2.0]]).centres).all()


def test_entropy_of_the_golden_tent():
    # The left half of its attractor maps onto the right, the right onto both: words in
    # which no two left symbols follow each other, of which there are Fibonacci many.
    golden = (1 + np.sqrt(5)) / 2
    plmap = tent(golden)
    orbit = plmap.orbit([0.4123], 20_000)[100:]
    regions = plmap.linear_regions(orbit, dt=0.5)
    assert_allclose(regions.topological_entropy, np.log(golden) / 0.5)
    counts = [len(regions.words(n)[1]) for n in (1, 2, 3, 4, 5, 6)]
    assert counts == [2, 3, 5, 8, 13, 21]
    # Its measure is Markov: two symbols say all, and the entropy is the exponent.
    assert_allclose(regions.entropy_rate(2) * 0.5, np.log(golden), rtol=0.01)
    spectrum = lyapunov_spectrum(plmap, starts=[[0.4]], n_steps=500)
    assert_allclose(spectrum.exponents, np.log(golden))


def test_entropy_of_what_repeats_is_zero():
    found = planar(a1=0.8377689, w1=-0.64375).fixed_points(16)
    plmap = planar(a1=0.8377689, w1=-0.64375)
    regions = plmap.linear_regions(plmap.orbit(found.states[1], 3200))
    assert regions.topological_entropy >= 0
    assert len(regions.words(20)[0]) == 16
    assert abs(regions.entropy_rate(20)) < 1e-3
    constant = PiecewiseLinearMap([0.5], np.zeros((1, 0)), np.zeros((0, 1)), [1.0], [])
    regions = constant.linear_regions(constant.orbit([0.0], 10))
    assert len(regions) == 1 and regions.topological_entropy == 0
    assert_allclose(regions.centres, [[2.0]])


def test_words_longer_than_all_orbits():
    regions = tent(1.7).linear_regions(tent(1.7).orbit([0.3], 10))
    with pytest.raises(ValueError, match=r"Words of 11 symbols need .* got 10"):
        regions.words(11)
    with pytest.raises(ValueError, match="length needs a whole number of at least 2"):
        regions.entropy_rate(1)


# -- the mixin ---------------------------------------------------------------------


def test_a_forecaster_answers_in_the_units_of_its_data():
    plmap = planar(a1=0.9777689, w1=-0.14375)
    X = np.array([1.0, 2.0]) + np.array([2.0, 3.0]) * plmap.orbit([0.1, 0.2], 300)
    model = PLForecaster(plmap, dt=0.5).fit(X)
    found = model.fixed_points(27)
    assert len(found) == 2 and found.dt == 0.5
    for cycle in found.cycles:
        ahead = model.forecast(27, cycle[-2:])
        assert_allclose(ahead, cycle, atol=1e-8)
    assert_allclose(found.states, plmap.fixed_points(27).states, atol=1e-10)
    # Along data, and along the free run that continues them.
    seen = model.linear_regions(X)
    assert_array_equal(
        seen.patterns[seen.symbols[0]], plmap.patterns((X[1:] - [1, 2]) / [2, 3])
    )
    free = model.linear_regions(n_steps=100)
    ahead = (model.forecast(100) - [1, 2]) / [2, 3]
    assert_array_equal(free.patterns[free.symbols[0]], plmap.patterns(ahead))
    assert free.dt == 0.5
    assert model.fixed_points(dt=0.1).dt == 0.1
    with pytest.raises(ValueError, match="dt needs to be above 0, got 0"):
        model.linear_regions(dt=0)


def test_a_forecaster_is_asked_for_what_it_has():
    model = PLForecaster(tent(1.9))
    with pytest.raises(ValueError, match="not fitted"):
        model.fixed_points()
    model.fit(np.linspace(1.5, 2.5, 20)[:, None])
    check_is_fitted(model)
    with pytest.raises(ValueError, match="fitted without inputs, got u"):
        model.fixed_points(u=[1.0])
    away = PLForecaster(PiecewiseLinearMap([3.0], [[0.0]], [[1.0]], [0.0], [0.0]))
    with pytest.raises(ValueError, match="free run that stays finite"):
        away.fit(np.linspace(1.5, 2.5, 20)[:, None]).linear_regions()


def test_a_trained_network_is_asked_for_its_own_points():
    pytest.importorskip("torch")
    pytest.importorskip("skorch")
    rng = np.random.RandomState(0)
    t = 0.3 * np.arange(400)
    X = np.stack([np.cos(t), 5 + 3 * np.sin(t)], axis=1)
    X += 0.02 * rng.standard_normal(X.shape)
    for variant in ("shallow", "clipped", "almost_linear"):
        model = PLRNN(
            variant, n_latent=2, n_hinges=2, max_epochs=5, selection="loss"
        ).fit(X)
        found = model.fixed_points()
        assert found.is_complete
        # The turn has a point in its middle.
        assert np.abs(found.points - [0, 5]).sum(axis=1).min() < 2
        for point, values in zip(found.points, found.eigenvalues, strict=True):
            assert_allclose(model.forecast(1, point[None])[0], point, atol=1e-9)
            z = (point - model.mean_) / model.scale_
            J = model.cell_.jacobian(z[None])[0]
            # On a hinge, derivatives of both sides would do.
            if found.margins.min() > 1e-6:
                expected = np.abs(np.linalg.eigvals(J))
                assert_allclose(np.abs(values), np.sort(expected)[::-1], rtol=1e-9)
        assert model.linear_regions(X).counts.sum() == 400


def test_a_constant_input_moves_the_points_of_a_network():
    pytest.importorskip("torch")
    pytest.importorskip("skorch")
    # x[t+1] = 0.5 x[t] + u[t] + 1: it rests at 2 (u + 1).
    rng = np.random.RandomState(0)
    u = rng.uniform(-1, 1, (500, 1))
    X = np.zeros((500, 1))
    for k in range(499):
        X[k + 1] = 0.5 * X[k] + u[k] + 1
    model = PLRNN(n_hinges=1, max_epochs=3, selection="loss").fit(X, u=u)
    for constant in (-0.5, 0.0, 0.5):
        found = model.fixed_points(u=[constant])
        assert np.abs(found.points - 2 * (constant + 1)).min() < 0.2
    with pytest.raises(ValueError, match=r"Pass u=... of shape \(1,\)"):
        model.fixed_points()


@pytest.mark.parametrize(
    ("slope", "period", "n"), [(8, 10, 99), (20, 10, 99), (50, 6, 9)]
)
def test_no_cycle_of_a_steep_tent_is_lost_to_rounding(slope, period, n):
    # Each of the two branches covers both: a full shift, with as many cycles as there
    # are binary necklaces without a shorter period.
    tent = PiecewiseLinearMap([slope], [[-2 * slope]], [[1.0]], [0.0], [-0.5])
    found = tent.fixed_points(period)
    assert len(found) == n
    assert found.is_complete


def test_a_settled_orbit_is_one_point():
    # All orbits settle at a rate of .964: how far they have come is no size.
    a, h = -0.9642363051491631, 1.1388782584507824
    empty = np.zeros((1, 0)), np.zeros((0, 1))
    plmap = PiecewiseLinearMap([a], *empty, [h], [])
    assert len(plmap.fixed_points(2).points) == 0
    (point,) = plmap.fixed_points().points
    np.testing.assert_allclose(point.ravel(), h / (1 - a), rtol=1e-12)


def test_weights_whose_product_overflows():
    huge = 1e200 * np.ones((2, 2))
    plmap = PiecewiseLinearMap([0.5, 0.5], huge, huge, [1.0, 0.0], [0.0, 1.0])
    with np.errstate(all="ignore"):
        assert len(plmap.fixed_points().points) == 0
