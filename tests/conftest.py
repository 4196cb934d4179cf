"""Shared material of the tests."""

import os
from pathlib import Path

# Tests run one for each core: threads of linear algebra beside that only wait. Before
# NumPy is imported, here and in the workers that this process starts.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

settings.register_profile(
    "skdyn",
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("skdyn")


@pytest.fixture
def waves():
    """Three incommensurate waves, 1000 rows: rank 6 behind any long delay embedding."""
    t = 0.05 * np.arange(1000)
    return (np.sin(t) + np.sin(3.1 * t) + 0.5 * np.cos(0.37 * t))[:, None]


@pytest.fixture
def rotation():
    """A damped, noise-free linear system in the plane, with inputs at hand."""
    A = 0.98 * np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    X = [np.array([1.0, 0.5])]
    for _ in range(99):
        X.append(X[-1] @ A)
    return np.array(X)


@pytest.fixture
def reference_data():
    """Give the path of a reference recording, or skip where it is absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKDYN_REFERENCE_DATA", beside))

    def path(name):
        if not (folder / name).exists():
            pytest.skip(
                f"reference recording {name} is absent: set SKDYN_REFERENCE_DATA to "
                f"the folder that holds it"
            )
        return folder / name

    return path
