"""Whether a free run lives where the truth lives: distances between attractors.

A chaotic forecast is lost after a few Lyapunov times, whatever the model; what a good
model keeps for ever is the attractor. These distances compare a long free run with
long truth as *sets of rows* (`d_stsp`, `mmd`, `sliced_wasserstein`) or as *signals*
(`d_hellinger`, `spectral_distance`, `autocorrelation_distance`), never row by row.

**State space.** With h_c and g_c the counts of true and generated rows in the cells c
of a box around the truth, k bins a side, d features, N rows and smoothing alpha,

    D_stsp = sum_c p_c log(p_c / q_c),
    p_c = (h_c + alpha) / (N_true + alpha k^d),
    q_c = (g_c + alpha) / (N_gen + alpha k^d)

(Koppe et al. 2019; Brenner et al. 2022; Hess et al. 2023). Of the k^d cells only those
with rows are ever held: the others share one p and one q, so that they add
(k^d - n_held) p_0 log(p_0 / q_0). In many dimensions, where cells are empty, the
densities are mixtures with a Gaussian around each row, and the divergence is the mean
of log p - log q over draws from p (Hershey & Olsen 2007, the Monte Carlo estimate).

**Two samples.** The squared maximum mean discrepancy with kernel k (Gretton et al.
2012), and the Wasserstein distance of one-dimensional projections (Bonneel et al.
2015):

    MMD^2  = E k(x, x') + E k(y, y') - 2 E k(x, y)
    SW_p^p = mean over directions theta of  integral_0^1 |F^-1(s) - G^-1(s)|^p ds

**Signals.** The Hellinger distance of smoothed power spectra, the Wasserstein distance
of power spectra along the frequency axis, and the difference of autocorrelations.

Every distance has a floor that finite data set: what one half of the truth is away
from the other. A model at the floor is as good as the data can tell. Every distance has
a worst value, given to a run with a row that is not finite.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d
from sklearn.utils import check_random_state

from skdyn.utils._trajectories import Pieces, Trajectories, as_trajectories

__all__ = [
    "autocorrelation_distance",
    "autocorrelation_distance_floor",
    "d_hellinger",
    "d_hellinger_floor",
    "d_stsp",
    "d_stsp_floor",
    "mmd",
    "mmd_floor",
    "sliced_wasserstein",
    "sliced_wasserstein_floor",
    "spectral_distance",
    "spectral_distance_floor",
]

# Up to so many features a histogram has cells that rows share.
_MOST_BINNED = 5
# Worst values of what has no bound of its own.
_WORST_MIXTURE = 1000.0
_WORST_DISTANCE = 10.0
# Entries of one block of distances: 256 kB, which stay in the cache.
_BLOCK = 32_768
# Entries that are sorted at once: 8 MB.
_SORTED = 1_000_000
# Rows that the median distance is taken of.
_N_MEDIAN = 1000
# A generated feature that varies less than this, relative to the truth, is constant up
# to rounding: scaled up, rounding errors would pass for a signal.
_FLAT = 1e-10

Seed = int | np.random.RandomState | None


def d_stsp(
    X_true: Any,
    X_gen: Any,
    *,
    n_bins: int = 30,
    smoothing: float = 1e-5,
    method: Literal["auto", "histogram", "mixture"] = "auto",
    bandwidth: float = 1.0,
    n_draws: int = 1000,
    reference: Any = None,
    random_state: Seed = 0,
) -> float:
    """State space divergence: how well a free run fills the attractor.

    The Kullback-Leibler divergence of the rows of a free run from true rows, in nats.

    **Run length**: tens of thousands of rows. Between two true runs of Lorenz-63 at
    ``dt=0.01`` it is 3 to 12 at 1,000 rows (by where they start), 0.3 to 1.5 at 10,000
    and 0.05 to 0.3 at 50,000. Compare values of one run length only, and look at
    `d_stsp_floor` first.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows, of one or several trajectories together.
    X_gen : array-like of shape (n_samples, n_features), list of these, or 3-D
        Rows of one or several free runs.
    n_bins : int, default=30
        Bins of the histogram for each feature, the habit of the field.
    smoothing : float, default=1e-5
        Added to the *count* of each cell (not to its frequency), as in the code of the
        papers.
    method : {"auto", "histogram", "mixture"}, default="auto"
        ``"histogram"`` counts rows in cells; ``"mixture"`` puts a Gaussian around each
        row; ``"auto"`` takes the histogram up to 5 features.
    bandwidth : float, default=1.0
        Standard deviation of each Gaussian of the mixture, in standard deviations of
        the features of the truth. Used by the mixture alone.
    n_draws : int, default=1000
        Draws from the mixture around the truth. Used by the mixture alone.
    reference : array-like or list of array-likes, default=None
        The series that the truth is a part of, for the box and the scale; None takes
        `X_true`.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws. Used by the mixture alone.

    Returns
    -------
    float
        From 0 (the same counts). The histogram is bounded by
        ``log((N_gen + smoothing * n_bins**d) / smoothing) - H``, where H is the entropy
        of the truth's cells: about 14 at 10,000 rows of Lorenz-63 and 16 at 100,000.
        That is the value of a run that never enters the box, and of one with a row that
        is not finite. A fixed point comes within 0.1 of it. The mixture may fall below
        0 by the error of its draws, and is clipped at 1000, its worst value.

    Raises
    ------
    ValueError
        For a bad parameter, different features, a constant feature in the truth, or
        truth that is not finite.

    See Also
    --------
    d_stsp_floor : What two halves of the truth are apart.
    d_hellinger : The companion that looks at the order of the rows.

    Notes
    -----
    The box is ``[min - 0.1 sd, max + 0.1 sd]`` of each feature. Rows of the run outside
    it are counted as outside: with a share f of them, ``-log(1 - f)`` is added to the
    divergence of the others. The code of the papers drops them, which forgives a model
    that leaves the attractor now and then; where no row is outside, both agree.

    Smoothing counts as ``smoothing * n_bins**d`` rows that are nowhere: 0.3 rows with 3
    features, 243 with 5. Runs need to have many more.

    It does not see the order of rows: a shuffled truth is perfect. And in many
    dimensions it does not see much else: a bandwidth of one standard deviation blurs
    what a high-dimensional attractor is made of, and rows are all far from each other.
    In 64 dimensions the mixture rates independent Gaussian noise of the truth's mean
    and variance above a good model: on Lorenz-96 (5,000 rows) noise has 23.9, another
    run of the true system 24.0 and a fixed point at the mean 24.3. Do not compare
    models by it there; project onto a few leading components first.

    References
    ----------
    Koppe, Toutounji, Kirsch, Lis & Durstewitz, "Identifying nonlinear dynamical systems
    via generative recurrent neural networks with applications to fMRI", PLOS
    Computational Biology 15 (2019), e1007263.

    Brenner, Hess, Mikhaeil, Bereska, Monfared, Kuo & Durstewitz, "Tractable dendritic
    RNNs for reconstructing nonlinear dynamical systems", ICML (2022).

    Hess, Monfared, Brenner & Durstewitz, "Generalized teacher forcing for learning
    chaotic dynamics", ICML (2023). Box, bins and smoothing are those of its code.

    Hershey & Olsen, "Approximating the Kullback Leibler divergence between Gaussian
    mixture models", ICASSP (2007).

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import make_henon
    >>> from skdyn.metrics import d_stsp
    >>> truth = make_henon(10_000, random_state=0)
    >>> d_stsp(truth, make_henon(10_000, random_state=1)) < 0.1
    True
    >>> fixed_point = np.tile(truth[0], (10_000, 1))
    >>> round(d_stsp(truth, fixed_point))
    16
    """
    _check_integer(n_bins, "n_bins", 2, "The papers take 30.")
    _check_positive(smoothing, "smoothing", "The papers take 1e-5.")
    _check_positive(bandwidth, "bandwidth", "The papers take 1.")
    _check_integer(n_draws, "n_draws", 1, "The papers take 1000.")
    _check_choice(method, "method", ("auto", "histogram", "mixture"))
    truth, run = _pair(X_true, X_gen)
    x, y = _rows(truth), _rows(run)
    whole = x if reference is None else _reference(reference, truth)
    d = x.shape[1]
    if method == "histogram" or (method == "auto" and d <= _MOST_BINNED):
        if int(n_bins) ** d >= 2**62:
            raise ValueError(
                f"The cells of a histogram need to be countable: {n_bins} bins to the "
                f"power of {d} features are too many. Lower n_bins, or pass "
                f"method='mixture'."
            )
        return _binned_divergence(x, y, _box(whole), int(n_bins), float(smoothing))
    if not np.isfinite(y).all():
        return _WORST_MIXTURE
    mean, sd = whole.mean(axis=0), _deviations(whole)
    rng = check_random_state(random_state)
    value = _mixture_divergence(
        (x - mean) / sd, (y - mean) / sd, float(bandwidth), int(n_draws), rng
    )
    return _bounded(value, _WORST_MIXTURE)


def d_stsp_floor(X_true: Any, **kwargs: Any) -> float:
    """`d_stsp` of the second half of the truth from the first.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows. Of each trajectory the first half of the rows is compared with the
        second; of an odd number, the middle row is left out. The answer is the floor of
        runs of half the length, so pass twice the rows that a run will have.
    **kwargs : Any
        Parameters of `d_stsp`. The box and the scale are those of all of `X_true`.

    Returns
    -------
    float
        What a perfect model gets on average; two models whose values are both near it
        cannot be told apart.

    Examples
    --------
    >>> from skdyn.datasets import make_henon
    >>> from skdyn.metrics import d_stsp_floor
    >>> truth = make_henon(20_000)
    >>> d_stsp_floor(truth[:1000]) > 0.5, d_stsp_floor(truth) < 0.1
    (True, True)
    """
    first, second = _halves(X_true)
    return d_stsp(first, second, **{"reference": X_true, **kwargs})


def d_hellinger(X_true: Any, X_gen: Any, *, sigma: float = 20.0) -> float:
    """Hellinger distance of smoothed power spectra: whether a run has the rhythm.

    Each feature is centred and scaled to unit variance, by its own mean and variance;
    the squared modulus of its Fourier transform is smoothed by a Gaussian, scaled to
    sum to 1, and the spectra P and Q are compared by
    ``sqrt(1 - sum_f sqrt(P(f) Q(f)))``. The answer is the mean over the features.

    **Run length**: tens of thousands of rows. `sigma` counts Fourier bins, so that it
    blurs less the longer the run: over 1,000 rows of Lorenz-63 (``dt=0.01``) a sine of
    the right period passes for the truth (0.03), over 50,000 it does not (0.74), while
    two true runs are 0.04 to 0.08 apart. Compare values of one run length only.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows; of several trajectories, which then need one length, the power is
        averaged.
    X_gen : array-like of shape (n_samples, n_features), list of these, or 3-D
        Rows of one or several free runs, each as long as the truth's.
    sigma : float, default=20.0
        Standard deviation of the Gaussian, in Fourier bins. 0 does not smooth.

    Returns
    -------
    float
        From 0 (one spectrum) to 1 (spectra that share no frequency). A constant feature
        in the run counts as 1, and a run with a row that is not finite is at 1.

    Raises
    ------
    ValueError
        For a bad parameter, different features or lengths, a constant feature in the
        truth, or truth that is not finite.

    See Also
    --------
    d_hellinger_floor : What two halves of the truth are apart.
    spectral_distance : Tells a peak that moved a little from one that moved far.

    Notes
    -----
    It sees neither phases nor the size of a feature: a run of ten times the amplitude
    has distance 0. Read it together with `d_stsp`.

    References
    ----------
    Hess, Monfared, Brenner & Durstewitz, "Generalized teacher forcing for learning
    chaotic dynamics", ICML (2023). Scaling, smoothing and mean are those of its code.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.metrics import d_hellinger
    >>> t = np.arange(10_000)[:, None]
    >>> truth = np.sin(0.1 * t)
    >>> round(d_hellinger(truth, 4 * truth), 6)
    0.0
    >>> round(d_hellinger(truth, np.sin(0.5 * t)), 2)
    1.0
    """
    if not (_is_real(sigma) and 0 <= sigma < np.inf):
        raise ValueError(
            f"sigma needs a number of at least 0, got {sigma!r}. The papers take 20."
        )
    truth, run = _pair(X_true, X_gen, min_rows=4)
    lengths = {*truth.lengths, *run.lengths}
    if len(lengths) > 1:
        raise ValueError(
            f"d_hellinger needs one length of all trajectories, since the bins of a "
            f"spectrum go with it, got {sorted(lengths)} rows. Cut the longer ones, or "
            f"use spectral_distance."
        )
    x, y = _rows(truth), _rows(run)
    _deviations(x)
    if not np.isfinite(y).all():
        return 1.0
    p, q = _smoothed_power(truth, sigma), _smoothed_power(run, sigma)
    # The same as sqrt(1 - sum sqrt(p q)), which would lose half of the digits.
    with np.errstate(all="ignore"):
        distance = np.sqrt(0.5 * ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=0))
    distance[_is_flat(y, x) | ~np.isfinite(distance)] = 1.0
    return float(np.minimum(distance, 1.0).mean())


def d_hellinger_floor(X_true: Any, **kwargs: Any) -> float:
    """`d_hellinger` of the second half of the truth from the first.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows. Of each trajectory the first half of the rows is compared with the
        second; of an odd number, the middle row is left out. The answer is the floor of
        runs of half the length.
    **kwargs : Any
        Parameters of `d_hellinger`.

    Returns
    -------
    float
        What a perfect model gets on average.

    Examples
    --------
    >>> from skdyn.datasets import make_henon
    >>> from skdyn.metrics import d_hellinger_floor
    >>> d_hellinger_floor(make_henon(20_000)) < 0.1
    True
    """
    return d_hellinger(*_halves(X_true), **kwargs)


def mmd(
    X_true: Any,
    X_gen: Any,
    *,
    kernel: Literal["gaussian", "energy"] = "gaussian",
    bandwidth: float | Literal["median"] = "median",
    unbiased: bool = False,
    max_rows: int | None = 2000,
    reference: Any = None,
    random_state: Seed = 0,
) -> float:
    """Squared maximum mean discrepancy: whether two sets of rows are one sample.

    **Run length**: tens of thousands of rows, less in many features or at a coarser
    ``dt``. Between two true runs of Lorenz-63 at ``dt=0.01`` it is 0.004 to 0.2 at
    1,000 rows (by where they start), 0.0002 to 0.012 at 10,000 and about 0.0006 at
    50,000; Gaussian noise of the truth's mean and variance has 0.015, a fixed point 0.1
    to 0.7.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows. Features are scaled to unit variance, by the truth's.
    X_gen : array-like of shape (n_samples, n_features), list of these, or 3-D
        Rows of one or several free runs.
    kernel : {"gaussian", "energy"}, default="gaussian"
        ``"gaussian"``: ``exp(-|x - y|² / (2 bandwidth²))``. ``"energy"``:
        ``-|x - y|``, which makes the energy distance, has no parameter, and goes on
        growing where the other has saturated.
    bandwidth : float or "median", default="median"
        Of the Gaussian kernel, in standard deviations of the features. ``"median"`` is
        the median distance of true rows, so that it is the same for all models.
    unbiased : bool, default=False
        Leave pairs of a row with itself out. The answer may then fall below 0, and is
        unbiased only for independent rows, which rows of a trajectory are not.
    max_rows : int or None, default=2000
        Of more rows than this so many are drawn, without replacement, on either side:
        time and memory go with its square. The same rows are drawn of runs of one
        length. None takes all.
    reference : array-like or list of array-likes, default=None
        The series that the truth is a part of, for the scale and the bandwidth; None
        takes `X_true`.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws.

    Returns
    -------
    float
        From 0 to 2 with the Gaussian kernel, where 2 is the worst value. The energy
        distance is clipped at 10, its worst value. A run with a row that is not finite
        has the worst.

    Raises
    ------
    ValueError
        For a bad parameter, different features, a constant feature in the truth, or
        truth that is not finite.

    See Also
    --------
    mmd_floor : What two halves of the truth are apart.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schölkopf & Smola, "A kernel two-sample test", Journal of
    Machine Learning Research 13 (2012), 723.

    Székely & Rizzo, "Energy statistics: a class of statistics based on distances",
    Journal of Statistical Planning and Inference 143 (2013), 1249.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import make_henon
    >>> from skdyn.metrics import mmd
    >>> truth = make_henon(5000, random_state=0)
    >>> mmd(truth, make_henon(5000, random_state=1)) < 0.005
    True
    >>> mmd(truth, np.tile(truth[0], (5000, 1))) > 0.1
    True
    """
    _check_choice(kernel, "kernel", ("gaussian", "energy"))
    if bandwidth != "median":
        _check_positive(bandwidth, "bandwidth", "Pass 'median' for the default.")
    if max_rows is not None:
        _check_integer(max_rows, "max_rows", 2, "Pass None for all rows.")
    truth, run = _pair(X_true, X_gen, least_run=2 if unbiased else 1)
    x, y = _rows(truth), _rows(run)
    whole = x if reference is None else _reference(reference, truth)
    sd = _deviations(whole)
    worst = 2.0 if kernel == "gaussian" else _WORST_DISTANCE
    if not np.isfinite(y).all():
        return worst
    seed = check_random_state(random_state).randint(2**31 - 1)
    width = 0.0
    if kernel == "gaussian":
        width = (
            _median_distance(_draw(whole, _N_MEDIAN, seed) / sd)
            if bandwidth == "median"
            else float(bandwidth)
        )
    mean = whole.mean(axis=0)
    x, y = ((_draw(rows, max_rows, seed) - mean) / sd for rows in (x, y))
    return _bounded(_squared_mmd(x, y, width, unbiased), worst)


def mmd_floor(X_true: Any, **kwargs: Any) -> float:
    """`mmd` of the second half of the truth from the first.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows. Of each trajectory the first half of the rows is compared with the
        second; of an odd number, the middle row is left out. The answer is the floor of
        runs of half the length.
    **kwargs : Any
        Parameters of `mmd`. Scale and bandwidth are those of all of `X_true`.

    Returns
    -------
    float
        What a perfect model gets on average.

    Examples
    --------
    >>> from skdyn.datasets import make_henon
    >>> from skdyn.metrics import mmd_floor
    >>> mmd_floor(make_henon(10_000)) < 0.005
    True
    """
    first, second = _halves(X_true)
    return mmd(first, second, **{"reference": X_true, **kwargs})


def sliced_wasserstein(
    X_true: Any,
    X_gen: Any,
    *,
    p: float = 1.0,
    n_directions: int = 100,
    reference: Any = None,
    random_state: Seed = 0,
) -> float:
    """Sliced Wasserstein distance: how far rows have to be moved.

    The Wasserstein distance of order `p` of the rows' projections onto random
    directions, exact for each, and averaged: ``(mean of W_p^p) ** (1 / p)``.

    **Run length**: tens of thousands of rows. Between two true runs of Lorenz-63 at
    ``dt=0.01`` it is 0.1 to 0.8 at 1,000 rows (by where they start), 0.01 to 0.2 at
    10,000 and 0.01 to 0.04 at 50,000; Gaussian noise of the truth's mean and variance
    has 0.21, a fixed point 0.8 to 1.5.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows. Features are scaled to unit variance, by the truth's.
    X_gen : array-like of shape (n_samples, n_features), list of these, or 3-D
        Rows of one or several free runs, of any length.
    p : float, default=1.0
        Order, at least 1. Higher orders look more at rows far away.
    n_directions : int, default=100
        Number of directions; one feature has but one.
    reference : array-like or list of array-likes, default=None
        The series that the truth is a part of, for the scale; None takes `X_true`.
    random_state : int, RandomState instance or None, default=0
        Seed of the directions.

    Returns
    -------
    float
        In standard deviations of the features of the truth: from 0, clipped at 10, the
        worst value, which a run with a row that is not finite has too.

    Raises
    ------
    ValueError
        For a bad parameter, different features, a constant feature in the truth, or
        truth that is not finite.

    See Also
    --------
    sliced_wasserstein_floor : What two halves of the truth are apart.

    References
    ----------
    Bonneel, Rabin, Peyré & Pfister, "Sliced and Radon Wasserstein barycenters of
    measures", Journal of Mathematical Imaging and Vision 51 (2015), 22.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.metrics import sliced_wasserstein
    >>> x = np.random.default_rng(0).standard_normal((1000, 1))
    >>> round(sliced_wasserstein(x, x + 2 * x.std()), 6)
    2.0
    """
    if not (_is_real(p) and 1 <= p < np.inf):
        raise ValueError(f"p needs a number of at least 1, got {p!r}. Pass 1 or 2.")
    _check_integer(n_directions, "n_directions", 1, "100 is the default.")
    truth, run = _pair(X_true, X_gen)
    x, y = _rows(truth), _rows(run)
    whole = x if reference is None else _reference(reference, truth)
    mean, sd = whole.mean(axis=0), _deviations(whole)
    if not np.isfinite(y).all():
        return _WORST_DISTANCE
    d = x.shape[1]
    if d == 1:
        directions = np.ones((1, 1))
    else:
        directions = check_random_state(random_state).standard_normal((d, n_directions))
        directions /= np.linalg.norm(directions, axis=0)
    value = _sliced((x - mean) / sd, (y - mean) / sd, directions, float(p))
    return _bounded(value, _WORST_DISTANCE)


def sliced_wasserstein_floor(X_true: Any, **kwargs: Any) -> float:
    """`sliced_wasserstein` of the second half of the truth from the first.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows. Of each trajectory the first half of the rows is compared with the
        second; of an odd number, the middle row is left out. The answer is the floor of
        runs of half the length.
    **kwargs : Any
        Parameters of `sliced_wasserstein`. The scale is that of all of `X_true`.

    Returns
    -------
    float
        What a perfect model gets on average.

    Examples
    --------
    >>> from skdyn.datasets import make_henon
    >>> from skdyn.metrics import sliced_wasserstein_floor
    >>> sliced_wasserstein_floor(make_henon(10_000)) < 0.05
    True
    """
    first, second = _halves(X_true)
    return sliced_wasserstein(first, second, **{"reference": X_true, **kwargs})


def spectral_distance(
    X_true: Any, X_gen: Any, *, dt: float = 1.0, n_segment: int | None = None
) -> float:
    """Wasserstein distance of power spectra: how far the rhythm is off.

    Each feature is centred and scaled by its own mean and variance, its power spectral
    density is estimated by Welch's method and scaled to sum to 1; the answer is the
    area between the cumulative spectra, the mean over the features: the frequency by
    which power has to be moved.

    **Run length**: a hundred turns; the runs may be of different lengths. Between two
    true runs of Lorenz-63 at ``dt=0.01``, whose turns take 0.75, it is 0.03 to 0.18
    cycles per unit time at 1,000 rows, 0.02 to 0.09 at 10,000 and 0.01 to 0.04 at
    50,000; a run at half the speed has 0.5, white noise 24.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows, of one or several trajectories.
    X_gen : array-like of shape (n_samples, n_features), list of these, or 3-D
        Rows of one or several free runs.
    dt : float, default=1.0
        Time between rows.
    n_segment : int or None, default=None
        Rows of a segment, over which the spectrum is averaged. None takes a quarter of
        the shortest true trajectory, at most 1024 and at least 8.

    Returns
    -------
    float
        In cycles per unit time: from 0 to ``0.5 / dt``, the worst value. A constant
        feature in the run counts as that, and a run with a row that is not finite is at
        that.

    Raises
    ------
    ValueError
        For a bad parameter, different features, trajectories shorter than a segment, a
        constant feature in the truth, or truth that is not finite.

    See Also
    --------
    spectral_distance_floor : What two halves of the truth are apart.
    d_hellinger : The habit of the field; blind to how far a peak has moved.

    References
    ----------
    Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE
    Transactions on Audio and Electroacoustics 15 (1967), 70.

    Examples
    --------
    A sine that turns 0.01 cycles per row too fast:

    >>> import numpy as np
    >>> from skdyn.metrics import spectral_distance
    >>> t = np.arange(10_000)[:, None]
    >>> truth, run = np.sin(2 * np.pi * 0.10 * t), np.sin(2 * np.pi * 0.11 * t)
    >>> round(spectral_distance(truth, run), 4)
    0.01
    """
    _check_positive(dt, "dt", "Pass the time between rows.")
    truth, run = _pair(X_true, X_gen, min_rows=8)
    if n_segment is None:
        n_segment = int(np.clip(min(truth.lengths) // 4, 8, 1024))
    _check_integer(n_segment, "n_segment", 8, "Pass None for the default.")
    for name, data in (("X_true", truth), ("X_gen", run)):
        if min(data.lengths) < n_segment:
            raise ValueError(
                f"spectral_distance needs trajectories of at least n_segment="
                f"{n_segment} rows, got {min(data.lengths)} in {name}. Pass longer "
                f"ones, or lower n_segment."
            )
    x, y = _rows(truth), _rows(run)
    _deviations(x)
    worst = 0.5 / float(dt)
    if not np.isfinite(y).all():
        return worst
    with np.errstate(all="ignore"):
        p, q = _welch(truth, n_segment), _welch(run, n_segment)
        difference = np.abs(np.cumsum(p, axis=0) - np.cumsum(q, axis=0))
    distance = difference.sum(axis=0) / (n_segment * float(dt))
    distance[_is_flat(y, x) | ~np.isfinite(distance)] = worst
    return float(np.minimum(distance, worst).mean())


def spectral_distance_floor(X_true: Any, **kwargs: Any) -> float:
    """`spectral_distance` of the second half of the truth from the first.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows. Of each trajectory the first half of the rows is compared with the
        second; of an odd number, the middle row is left out. The answer is the floor of
        runs of half the length.
    **kwargs : Any
        Parameters of `spectral_distance`.

    Returns
    -------
    float
        What a perfect model gets on average.

    Examples
    --------
    >>> from skdyn.datasets import make_henon
    >>> from skdyn.metrics import spectral_distance_floor
    >>> spectral_distance_floor(make_henon(10_000)) < 0.01
    True
    """
    return spectral_distance(*_halves(X_true), **kwargs)


def autocorrelation_distance(
    X_true: Any, X_gen: Any, *, max_lag: int | None = None
) -> float:
    """Root mean squared difference of autocorrelations: whether a run has the memory.

    With c(lag) the mean product of centred values `lag` rows apart over the variance,
    the root of the mean over lags 1 to `max_lag`, averaged over the features.

    **Run length**: some hundred times `max_lag`; the runs may be of different lengths.
    Between two true runs of Lorenz-63 at ``dt=0.01``, with `max_lag` 100, it is 0.07 to
    0.44 at 1,000 rows, 0.01 to 0.15 at 10,000 and 0.01 to 0.08 at 50,000; a run at half
    the speed has 0.4, as white noise has.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows, of one or several trajectories. No pair reaches from one into
        another.
    X_gen : array-like of shape (n_samples, n_features), list of these, or 3-D
        Rows of one or several free runs.
    max_lag : int or None, default=None
        Longest lag, in rows. None takes a tenth of the shortest true trajectory, at
        most 1000. Lags past the memory of the system add noise and no signal.

    Returns
    -------
    float
        From 0 to 2, the worst value. A constant feature in the run counts as 2, and a
        run with a row that is not finite is at 2.

    Raises
    ------
    ValueError
        For a bad parameter, different features, trajectories that are not longer than
        `max_lag`, a constant feature in the truth, or truth that is not finite.

    See Also
    --------
    autocorrelation_distance_floor : What two halves of the truth are apart.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.metrics import autocorrelation_distance
    >>> wave = np.sin(0.1 * np.arange(10_000))[:, None]
    >>> noise = np.random.default_rng(0).standard_normal((10_000, 1))
    >>> round(autocorrelation_distance(wave, noise, max_lag=500), 1)
    0.7
    """
    truth, run = _pair(X_true, X_gen)
    if max_lag is None:
        max_lag = int(np.clip(min(truth.lengths) // 10, 1, 1000))
    _check_integer(max_lag, "max_lag", 1, "Pass None for the default.")
    for name, data in (("X_true", truth), ("X_gen", run)):
        if min(data.lengths) <= max_lag:
            raise ValueError(
                f"autocorrelation_distance needs trajectories of more than max_lag="
                f"{max_lag} rows, got {min(data.lengths)} in {name}. Pass longer ones, "
                f"or lower max_lag."
            )
    x, y = _rows(truth), _rows(run)
    _deviations(x)
    worst = 2.0
    if not np.isfinite(y).all():
        return worst
    with np.errstate(all="ignore"):
        c, e = (autocorrelations(data.pieces, max_lag)[1:] for data in (truth, run))
        distance = np.sqrt(((c - e) ** 2).mean(axis=0))
    distance[_is_flat(y, x) | ~np.isfinite(distance)] = worst
    return float(np.minimum(distance, worst).mean())


def autocorrelation_distance_floor(X_true: Any, **kwargs: Any) -> float:
    """`autocorrelation_distance` of the second half of the truth from the first.

    Parameters
    ----------
    X_true : array-like of shape (n_samples, n_features), list of these, or 3-D
        True rows. Of each trajectory the first half of the rows is compared with the
        second; of an odd number, the middle row is left out. The answer is the floor of
        runs of half the length.
    **kwargs : Any
        Parameters of `autocorrelation_distance`.

    Returns
    -------
    float
        What a perfect model gets on average.

    Examples
    --------
    >>> from skdyn.datasets import make_henon
    >>> from skdyn.metrics import autocorrelation_distance_floor
    >>> autocorrelation_distance_floor(make_henon(10_000), max_lag=50) < 0.05
    True
    """
    return autocorrelation_distance(*_halves(X_true), **kwargs)


def autocorrelations(pieces: Pieces, max_lag: int) -> np.ndarray:
    """Mean product of centred values `lag` rows apart over the variance.

    Parameters
    ----------
    pieces : sequence of arrays (n_i, d)
        Trajectories; no pair reaches from one into another.
    max_lag : int
        Last lag.

    Returns
    -------
    ndarray of shape (max_lag + 1, d)
        Lags past the longest trajectory are NaN.
    """
    rows = np.concatenate(list(pieces))
    mean = rows.mean(axis=0)
    total = np.zeros((max_lag + 1, rows.shape[1]))
    pairs = np.zeros(max_lag + 1)
    for piece in pieces:
        n = len(piece)
        size = next_fast_len(n + min(max_lag, n), real=True)
        power = np.abs(rfft(piece - mean, size, axis=0)) ** 2
        kept = min(max_lag + 1, n)
        total[:kept] += irfft(power, size, axis=0)[:kept]
        pairs += np.maximum(n - np.arange(max_lag + 1), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        products = total / pairs[:, None]
        return products / products[0]


# --- divergences of rows


def _binned_divergence(
    x: np.ndarray,
    y: np.ndarray,
    box: tuple[np.ndarray, np.ndarray],
    n_bins: int,
    alpha: float,
) -> float:
    """D_stsp by counts: the equations at the head of the module."""
    true_cells, true_counts = _counted(x, box, n_bins)
    if true_counts.sum() < len(x):
        raise ValueError(
            "All true rows need to lie in the box around the reference. Pass a "
            "reference that the truth is a part of."
        )
    n_cells = float(n_bins) ** x.shape[1]
    n_true, n_run = len(x) + alpha * n_cells, len(y) + alpha * n_cells
    run_cells, run_counts = _counted(y, box, n_bins)
    if not np.isfinite(y).all():
        # A run that has diverged has been nowhere.
        run_counts = np.zeros_like(run_counts)
    held = np.union1d(true_cells, run_cells)
    h, g = np.zeros(len(held)), np.zeros(len(held))
    h[np.searchsorted(held, true_cells)] = true_counts
    g[np.searchsorted(held, run_cells)] = run_counts
    p, q = (h + alpha) / n_true, (g + alpha) / n_run
    empty = (n_cells - len(held)) * (alpha / n_true) * np.log(n_run / n_true)
    # Two counts that agree may come out below zero by rounding.
    return max(float(p @ np.log(p / q) + empty), 0.0)


def _counted(
    rows: np.ndarray, box: tuple[np.ndarray, np.ndarray], n_bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cells of the box that hold rows, and how many each."""
    low, high = box
    with np.errstate(invalid="ignore", over="ignore"):
        place = np.floor((rows - low) * (n_bins / (high - low)))
        inside = ((place >= 0) & (place < n_bins)).all(axis=1)
    codes = np.zeros(int(inside.sum()), dtype=np.int64)
    for column in place[inside].T:
        codes *= n_bins
        codes += column.astype(np.int64)
    return np.unique(codes, return_counts=True)


def _box(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box of Hess et al. (2023) around rows."""
    margin = 0.1 * _deviations(rows, ddof=1)
    return rows.min(axis=0) - margin, rows.max(axis=0) + margin


def _mixture_divergence(
    x: np.ndarray,
    y: np.ndarray,
    bandwidth: float,
    n_draws: int,
    rng: np.random.RandomState,
) -> float:
    """Monte Carlo estimate of the divergence of mixtures around rows."""
    x, y = x / bandwidth, y / bandwidth
    draws = x[rng.randint(len(x), size=n_draws)]
    draws = draws + rng.standard_normal(draws.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.mean(_log_mixture(draws, x) - _log_mixture(draws, y)))


def _log_mixture(at: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Log density of unit Gaussians around `centres`, up to a constant."""
    log_density = np.empty(len(at))
    for start, block in _minus_squared_distances(at, centres):
        block *= 0.5
        # The nearest centre is taken out, or far rows would underflow to no density.
        nearest = block.max(axis=1)
        block -= nearest[:, None]
        np.exp(block, out=block)
        part = nearest + np.log(block.sum(axis=1))
        log_density[start : start + len(part)] = part
    return log_density - np.log(len(centres))


def _squared_mmd(x: np.ndarray, y: np.ndarray, width: float, unbiased: bool) -> float:
    """Squared MMD, with the Gaussian kernel of `width`, or -|x - y| where it is 0."""
    if width:
        x, y = x / (np.sqrt(2) * width), y / (np.sqrt(2) * width)

    def total(a: np.ndarray, b: np.ndarray) -> float:
        result = 0.0
        for _, block in _minus_squared_distances(a, b):
            if width:
                result += float(np.exp(block, out=block).sum())
            else:
                np.negative(block, out=block)
                result -= float(np.sqrt(block, out=block).sum())
        return result

    def within(a: np.ndarray) -> float:
        if not unbiased:
            return total(a, a) / len(a) ** 2
        # k(x, x) is 1 for the Gaussian kernel and 0 for the other.
        return (total(a, a) - (len(a) if width else 0)) / (len(a) * (len(a) - 1))

    with np.errstate(over="ignore", invalid="ignore"):
        value = within(x) + within(y) - 2 * total(x, y) / (len(x) * len(y))
    return value if unbiased else max(value, 0.0)


def _median_distance(rows: np.ndarray) -> float:
    """Median distance of two different rows; 1 where more than half coincide."""
    upper = np.triu_indices(len(rows), 1)
    (_, squared), *_ = _minus_squared_distances(rows, rows, whole=True)
    return float(np.sqrt(-np.median(squared[upper]))) or 1.0


def _draw(rows: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    """At most so many rows: the same ones of arrays of one length."""
    if most is None or len(rows) <= most:
        return rows
    kept = np.random.RandomState(seed).permutation(len(rows))[:most]
    return rows[np.sort(kept)]


def _sliced(x: np.ndarray, y: np.ndarray, directions: np.ndarray, p: float) -> float:
    """(mean over directions of W_p^p) ** (1 / p), by quantile functions."""
    n, m = len(x), len(y)
    # Both quantile functions are steps; between these levels neither moves. In units of
    # 1 / (n m), which are whole numbers.
    levels = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    weights = np.diff(levels, prepend=0) / (n * m)
    i, j = (levels - 1) // m, (levels - 1) // n
    total = 0.0
    step = max(1, _SORTED // (n + m))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, directions.shape[1], step):
            some = directions[:, start : start + step]
            # One direction a row: sorting runs along memory.
            a, b = (np.ascontiguousarray((z @ some).T) for z in (x, y))
            a.sort(axis=1)
            b.sort(axis=1)
            total += float((np.abs(a[:, i] - b[:, j]) ** p @ weights).sum())
        return float((total / directions.shape[1]) ** (1 / p))


def _minus_squared_distances(
    a: np.ndarray, b: np.ndarray, *, whole: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of -|a - b|², each with its first row of `a`."""
    # 2 a b - |a|^2 - |b|^2 as one product, so that a block is written once.
    norm_a, norm_b = (np.einsum("ij,ij->i", z, z)[:, None] for z in (a, b))
    left = np.hstack([a, norm_a, np.ones_like(norm_a)])
    right = np.hstack([2 * b, -np.ones_like(norm_b), -norm_b]).T.copy()
    step = len(a) if whole else max(1, _BLOCK // len(b))
    for start in range(0, len(a), step):
        block = left[start : start + step] @ right
        yield start, np.minimum(block, 0.0, out=block)


# --- spectra


def _smoothed_power(data: Trajectories, sigma: float) -> np.ndarray:
    """Smoothed power spectra that sum to 1, features as columns."""
    with np.errstate(all="ignore"):
        power = np.mean(
            [np.abs(rfft(z, axis=0)) ** 2 for z in _own_scale(data)], axis=0
        )
        if sigma > 0:
            power = gaussian_filter1d(power, sigma, axis=0)
        return power / power.sum(axis=0)


def _welch(data: Trajectories, n_segment: int) -> np.ndarray:
    """Welch's power spectral densities that sum to 1, features as columns."""
    # Imported here: scipy.signal takes longer to load than all of the rest.
    from scipy.signal import welch

    power: Any = 0.0
    for z in _own_scale(data):
        n_segments = 1 + (len(z) - n_segment) // (n_segment - n_segment // 2)
        power = (
            power
            + n_segments
            * welch(
                z, nperseg=n_segment, noverlap=n_segment // 2, detrend=False, axis=0
            )[1]
        )
    return power / power.sum(axis=0)


def _own_scale(data: Trajectories) -> list[np.ndarray]:
    """Pieces, each feature centred and scaled by its mean and variance over all."""
    rows = _rows(data)
    mean, sd = rows.mean(axis=0), rows.std(axis=0)
    return [(piece - mean) / sd for piece in data.pieces]


# --- the door


def _pair(
    X_true: Any, X_gen: Any, *, min_rows: int = 2, least_run: int = 1
) -> tuple[Trajectories, Trajectories]:
    """Validate truth and run; in the run, NaN may pass."""
    truth = as_trajectories(X_true, name="X_true", min_rows=min_rows, needs_last=False)
    run = as_trajectories(
        X_gen, name="X_gen", min_rows=least_run, needs_last=False, allow_nan=True
    )
    if truth.n_features != run.n_features:
        raise ValueError(
            f"X_true and X_gen need the same features, got {truth.n_features} and "
            f"{run.n_features} columns. Select the same columns in both."
        )
    return truth, run


def _reference(reference: Any, truth: Trajectories) -> np.ndarray:
    whole = as_trajectories(reference, name="reference", needs_last=False)
    if whole.n_features != truth.n_features:
        raise ValueError(
            f"reference needs the features of X_true, {truth.n_features} columns, got "
            f"{whole.n_features}."
        )
    return _rows(whole)


def _rows(data: Trajectories) -> np.ndarray:
    """All rows, in double precision."""
    return data.rows().astype(np.float64, copy=False)


def _deviations(rows: np.ndarray, ddof: int = 0) -> np.ndarray:
    """Standard deviation of each feature of the truth."""
    low = rows.min(axis=0)
    flat = np.flatnonzero(low == rows.max(axis=0))
    if flat.size:
        raise ValueError(
            f"Every feature of the truth needs values that change, got "
            f"{low[flat[0]]:g} in all rows of column {flat[0]}. Drop constant columns."
        )
    return rows.std(axis=0, ddof=ddof)


def _is_flat(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Whether features of the run are constant, up to rounding of the truth's size."""
    with np.errstate(all="ignore"):
        return ~(y.std(axis=0) > _FLAT * x.std(axis=0))


def _halves(X: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """First and second halves of all trajectories."""
    data = as_trajectories(
        X,
        name="X_true",
        min_rows=4,
        why_min_rows="A floor compares two halves; pass more rows.",
        needs_last=False,
    )
    halves = [len(piece) // 2 for piece in data.pieces]
    first = [piece[:half] for piece, half in zip(data.pieces, halves, strict=True)]
    second = [piece[-half:] for piece, half in zip(data.pieces, halves, strict=True)]
    return first, second


def _bounded(value: float, worst: float) -> float:
    return float(min(value, worst)) if np.isfinite(value) else worst


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_positive(value: Any, name: str, advice: str) -> None:
    if not (_is_real(value) and 0 < value < np.inf):
        raise ValueError(f"{name} needs a positive number, got {value!r}. {advice}")


def _check_integer(value: Any, name: str, least: int, advice: str) -> None:
    integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not (integer and value >= least):
        raise ValueError(
            f"{name} needs an integer of at least {least}, got {value!r}. {advice}"
        )


def _check_choice(value: Any, name: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        names = " or ".join(repr(each) for each in allowed)
        raise ValueError(f"{name} needs {names}, got {value!r}. Pass one of them.")
