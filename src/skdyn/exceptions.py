"""Warnings and errors that skdyn defines beside Python's and scikit-learn's own."""

__all__ = ["DivergenceWarning"]


class DivergenceWarning(RuntimeWarning):
    """A forecast left the range of floating-point numbers.

    The rows from the step that the message names onwards are NaN. It comes once for
    one call, whatever the number of trajectories that were forecast together.
    """
