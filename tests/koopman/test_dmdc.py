"""DMDc against systems with known state and input matrices."""

import numpy as np
import pytest
from scipy.linalg import expm

from skdyn.koopman import DMD, DMDc


def simulate(A, B, u, x0):
    rows = [np.asarray(x0, float)]
    for k in range(len(u) - 1):
        rows.append(rows[-1] @ A + u[k] @ B)
    return np.array(rows)


A = np.array([[1.5, 0.0], [0.0, 0.1]]).T
B = np.array([[1.0, 0.0]])


def test_the_unstable_system_of_the_paper_with_known_b():
    # Proctor et al. 2016, section 4.1: x1' = 1.5 x1 + u, x2' = 0.1 x2, u = -x1.
    X = np.array([[4.0, 7.0], [2.0, 0.7], [1.0, 0.07], [0.5, 0.007]])
    u = -X[:, :1]
    known = DMDc(input_matrix=B).fit(X, u=u)
    np.testing.assert_allclose(known.state_matrix_, A, atol=1e-12)
    np.testing.assert_allclose(known.spectrum_.eigenvalues, [1.5, 0.1], atol=1e-12)
    # Without the input, plain DMD takes the controlled system for stable.
    np.testing.assert_allclose(
        DMD().fit(X).spectrum_.eigenvalues, [0.5, 0.1], atol=1e-9
    )


def test_mass_spring_damper():
    mass, spring, damper, dt = 0.5, 0.7, 0.6, 0.1
    continuous = np.array([[0, 1.0], [-spring / mass, -damper / mass]])
    discrete = expm(continuous * dt).T
    push = np.array([[0.0, 0.2]])
    u = np.random.default_rng(0).standard_normal((300, 1))
    X = simulate(discrete, push, u, [1.0, 0.0])
    dmdc = DMDc(dt=dt).fit(X, u=u)
    np.testing.assert_allclose(dmdc.state_matrix_, discrete, atol=1e-12)
    np.testing.assert_allclose(dmdc.input_matrix_, push, atol=1e-12)
    want = np.linalg.eigvals(continuous)
    got = dmdc.spectrum_
    rates = got.growth_rates + 2j * np.pi * got.frequencies
    np.testing.assert_allclose(rates, want[np.argsort(-want.imag)], atol=1e-10)
    assert got.residuals.max() < 1e-6


def test_forecasts_under_new_inputs_and_lists():
    rng = np.random.default_rng(0)
    drive = rng.standard_normal((2, 3))
    state = np.linalg.qr(rng.standard_normal((3, 3)))[0] * 0.9
    U = [rng.standard_normal((n, 2)) for n in (30, 40)]
    X = [simulate(state, drive, u, rng.standard_normal(3)) for u in U]
    dmdc = DMDc().fit([X[0][:20], X[1][:25]], u=[U[0][:20], U[1][:25]])
    # One horizon for both: 10 rows, the first input acting on the last context row.
    got = dmdc.predict(10, u=[U[0][19:29], U[1][24:34]])
    np.testing.assert_allclose(got[0], X[0][20:30], atol=1e-10)
    np.testing.assert_allclose(got[1], X[1][25:35], atol=1e-10)
    parts = DMDc().partial_fit(X[0], u=U[0]).partial_fit(X[1], u=U[1])
    np.testing.assert_allclose(parts.state_matrix_, state, atol=1e-10)
    with pytest.raises(ValueError, match="needed u, got none"):
        parts.partial_fit(X[0])
    with pytest.raises(ValueError, match="fitted without inputs"):
        DMDc().partial_fit(X[0]).partial_fit(X[1], u=U[1])


def test_cut_rank_keeps_factors():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((400, 1))
    small = simulate(
        0.9 * np.eye(2)[::-1] * [[1], [-1]], np.array([[1.0, 0.5]]), u, [0, 0]
    )
    lift = np.linalg.qr(rng.standard_normal((50, 2)))[0].T
    X = small @ lift
    dmdc = DMDc(rank=3).fit(X, u=u)
    assert dmdc.rank_ == 3
    np.testing.assert_allclose(dmdc.predict(X, u=u)[:-1], X[1:], atol=1e-9)
    top = dmdc.spectrum_.eigenvalues[:2]
    np.testing.assert_allclose(np.abs(top), 0.9, atol=1e-9)
    rows = dmdc.spectrum_.modes[:2]
    np.testing.assert_allclose(
        rows @ dmdc.state_matrix_, top[:, None] * rows, atol=1e-9
    )


def test_without_inputs_it_is_dmd(rotation):
    np.testing.assert_allclose(
        DMDc().fit(rotation).predict(20), DMD().fit(rotation).predict(20), atol=1e-12
    )


def test_input_matrix_of_another_shape_is_refused(rotation):
    with pytest.raises(ValueError, match=r"\(1, 2\), got \(2, 1\)"):
        DMDc(input_matrix=B.T).fit(rotation, u=np.ones((100, 1)))


def test_a_refused_first_partial_fit_can_be_retried(rotation):
    u = np.ones((100, 1))
    dmdc = DMDc()
    with pytest.raises(ValueError, match="needed 100 rows"):
        dmdc.partial_fit(rotation, u=u[:7])
    assert dmdc.partial_fit(rotation, u=u).n_inputs_ == 1


def test_bad_input_matrices_are_refused(rotation):
    with pytest.raises(ValueError, match="needed u in fit"):
        DMDc(input_matrix=B).fit(rotation)
    with pytest.raises(ValueError, match="NaN"):
        DMDc(input_matrix=B * np.nan).fit(rotation, u=np.ones((100, 1)))


def test_inputs_of_a_context_in_every_length_that_ends_where_it_does(rotation):
    pd = pytest.importorskip("pandas")
    from skdyn.preprocessing import DelayEmbedding

    rng = np.random.default_rng(0)
    u = rng.standard_normal((105, 1))
    hours = np.r_[np.arange(50), 200 + np.arange(50)]
    index = pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(rotation, index=index)
    dmdc = DMDc().fit(frame, u=u[:100])
    want = dmdc.predict(5, u=u[99:104])
    for part in (u[99:104], u[50:104], u[:104]):
        np.testing.assert_allclose(dmdc.forecast(5, context=frame, u=part), want)
    Z = DelayEmbedding(3).fit_transform(rotation)
    dmdc = DMDc().fit(Z, u=u[2:100])
    want = dmdc.predict(5, u=u[99:104])
    for part in (u[2:104], u[:104]):
        np.testing.assert_allclose(dmdc.forecast(5, context=Z, u=part), want)
