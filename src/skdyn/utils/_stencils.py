"""Weights of finite differences on any nodes.

Fornberg's recursion builds the weights w_j of the m-th derivative at z,

    f^(m)(z) = sum_j w_j f(x_j)    for every polynomial f of degree < number of nodes,

node by node, without a linear system. It is stable where the nodes are in order.

References
----------
Fornberg, "Generation of finite difference formulas on arbitrarily spaced grids",
Mathematics of Computation 51 (1988), 699.
"""

from __future__ import annotations

import numpy as np

__all__ = ["stencil_weights"]


def stencil_weights(nodes: np.ndarray, at: np.ndarray, derivative: int) -> np.ndarray:
    """Weights of a derivative, for many stencils at once.

    Parameters
    ----------
    nodes : ndarray of shape (n_nodes, n_stencils) or (n_nodes, 1)
        Distinct nodes of each stencil; more than `derivative` of them.
    at : ndarray of shape (n_stencils,)
        Where the derivative is wanted.
    derivative : int
        Its order, 0 for interpolation.

    Returns
    -------
    ndarray of shape (n_nodes, n_stencils)

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.utils._stencils import stencil_weights
    >>> stencil_weights(np.arange(3.0)[:, None], np.array([0.0, 1.0]), 1).T
    array([[-1.5,  2. , -0.5],
           [-0.5,  0. ,  0.5]])
    """
    n = len(nodes)
    shift = nodes - at
    # w[j, k]: weight of node j in the derivative of order k.
    w = np.zeros((n, derivative + 1, len(at)))
    w[0, 0] = 1.0
    last = np.ones(1)
    for i in range(1, n):
        product = np.ones(1)
        orders = range(min(i, derivative), -1, -1)
        for j in range(i):
            gap = nodes[i] - nodes[j]
            product = product * gap
            if j == i - 1:
                for k in orders:
                    lower = k * w[j, k - 1] if k else 0.0
                    w[i, k] = last / product * (lower - shift[j] * w[j, k])
            for k in orders:
                lower = k * w[j, k - 1] if k else 0.0
                w[j, k] = (shift[i] * w[j, k] - lower) / gap
        last = product
    return w[:, derivative]
