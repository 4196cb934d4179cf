"""Reservoir matrices: degrees, radii in closed form, and the quick estimate."""

import numpy as np
import pytest
from scipy import sparse

from skdyn.reservoir._topology import (
    TOPOLOGIES,
    make_weights,
    recurrent_matrix,
    spectral_radius,
)


def rng(seed=0):
    return np.random.RandomState(seed)


def true_radius(W):
    return np.abs(np.linalg.eigvals(W.toarray())).max()


@pytest.mark.parametrize("n_units", [30, 300, 700])
@pytest.mark.parametrize("topology", ["random", "small_world"])
def test_radius_is_what_was_asked_for(topology, n_units):
    W = recurrent_matrix(topology, n_units, radius=0.7, rng=rng())
    # Exact up to the steps of the estimate, close to it beyond.
    tolerance = 1e-10 if n_units < 128 else 5e-3
    assert true_radius(W) == pytest.approx(0.7, rel=tolerance)


def test_random_reservoir_has_a_fixed_in_degree_without_repeats():
    for n_units in (12, 50, 600):
        W = recurrent_matrix("random", n_units, degree=7, rng=rng())
        assert (np.diff(W.indptr) == 7).all()
        assert all(len(set(W.indices[7 * i : 7 * i + 7])) == 7 for i in range(n_units))


def test_ring_and_delay_line_are_closed_forms():
    ring = recurrent_matrix("ring", 6, radius=0.9, rng=rng()).toarray()
    np.testing.assert_array_equal(ring, 0.9 * np.roll(np.eye(6), 1, axis=0))
    # A ring's eigenvalues are the roots of unity times its weight.
    moduli = np.abs(np.linalg.eigvals(ring))
    np.testing.assert_allclose(moduli, 0.9, rtol=1e-12)
    line = recurrent_matrix("delay_line", 6, radius=0.9, rng=rng()).toarray()
    np.testing.assert_array_equal(line, 0.9 * np.eye(6, k=-1))


def test_estimate_of_known_spectra():
    # A rotation, all of whose eigenvalues have one modulus: a power method that looks
    # at real growth would not settle.
    n = 400
    angles = np.linspace(0.1, 3.0, n // 2)
    blocks = [[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles]
    rotation = sparse.block_diag(blocks, format="csr")
    assert spectral_radius(1.7 * rotation) == pytest.approx(1.7, rel=1e-2)
    # Few distinct eigenvalues: the Krylov space is closed early.
    assert spectral_radius(sparse.diags_array(np.tile([1.0, -3.0], 150))) == (
        pytest.approx(3.0)
    )
    assert spectral_radius(np.zeros((5, 5))) == 0
    W = recurrent_matrix("random", 500, rng=rng(3))
    assert spectral_radius(W) == spectral_radius(W)


def test_own_matrix_is_taken_and_left_alone():
    own = np.array([[0.0, 2.0], [2.0, 0.0]])
    for given in (own, sparse.csr_array(own), sparse.csc_matrix(own)):
        W = recurrent_matrix(given, 2, radius=0.5, rng=rng())
        np.testing.assert_allclose(W.toarray(), own / 4)
        W = recurrent_matrix(given, 2, radius=None, rng=rng())
        np.testing.assert_array_equal(W.toarray(), own)
    np.testing.assert_array_equal(own, [[0.0, 2.0], [2.0, 0.0]])
    made = recurrent_matrix(lambda n, rng: rng.standard_normal((n, n)), 3, rng=rng(1))
    np.testing.assert_array_equal(made.toarray(), rng(1).standard_normal((3, 3)))


def test_bad_matrices_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 3\), got \(2, 2\)"):
        recurrent_matrix(np.eye(2), 3, rng=rng())
    with pytest.raises(ValueError, match="finite"):
        recurrent_matrix(np.full((2, 2), np.nan), 2, rng=rng())
    with pytest.raises(ValueError, match=r"cycles.*spectral_radius=None"):
        recurrent_matrix(np.eye(4, k=1), 4, radius=0.9, rng=rng())


def test_layers_are_block_bidiagonal_and_keep_their_radii():
    w = make_weights(
        90,
        np.ones(2),
        spectral_radius=[0.3, 0.6, 0.9],
        leak_rate=[1.0, 0.5, 0.1],
        n_layers=3,
        rng=rng(),
    )
    W = w.recurrent.toarray()
    for i, radius in enumerate((0.3, 0.6, 0.9)):
        own = slice(30 * i, 30 * i + 30)
        assert np.abs(np.linalg.eigvals(W[own, own])).max() == pytest.approx(radius)
        assert not W[own, 30 * i + 30 :].any()
        assert not W[own, : max(30 * i - 30, 0)].any()
    assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(0.9)
    # Only the first layer is driven; the leak is each layer's own.
    assert w.drive[:30].all()
    assert not w.drive[30:].any()
    np.testing.assert_array_equal(w.leak, np.repeat([1.0, 0.5, 0.1], 30))
    with pytest.raises(ValueError, match="leak_rate needs one number, or one for each"):
        make_weights(90, np.ones(2), leak_rate=[1.0, 0.5], n_layers=3, rng=rng())


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("n_units", [1, 2, 3, 11])
def test_small_reservoirs(topology, n_units):
    w = make_weights(n_units, np.ones(1), topology=topology, rng=rng())
    assert w.recurrent.shape == (n_units, n_units)
    assert np.isfinite(w.recurrent.data).all()


def test_input_weights_have_the_size_that_was_asked_for():
    w = make_weights(20_000, np.array([0.5, 2.0]), topology="ring", rng=rng())
    np.testing.assert_allclose(w.drive.std(axis=0), [0.5, 2.0], rtol=0.02)
    np.testing.assert_allclose(w.drive.mean(axis=0), 0.0, atol=0.05)
