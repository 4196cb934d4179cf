"""The GPU loops of the PLRNN are the loops of the module, in Triton's interpreter.

The interpreter has to be asked for before Triton is imported, hence the process apart.
"""

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton", reason="comes with PyTorch's CUDA builds")

SCRIPT = """
import torch
from skdyn.neural import _plrnn_module as module, _plrnn_triton as kernels

torch.manual_seed(0)
real = torch.float64
for clipped in (False, True):
    for M, N, L in ((3, 3, 20), (5, 2, 7)):
        X = torch.randn(2, 3, 13, N, dtype=real)
        X[0, 0, 4, 0] = X[1, 1, 5] = torch.nan
        Y0, V = torch.randn(2, 3, M, dtype=real), torch.randn(2, 3, 12, M, dtype=real)
        shapes = (M, M), (M, L), (L, M), (L,), (N, M), (M, N)
        drawn = (0.4 * torch.randn(2, *shape, dtype=real) for shape in shapes)
        rest = X, torch.rand(2, 13, dtype=real), module.Weights(*drawn, clipped)
        there = kernels.forward_loop(Y0, V, *rest)
        here = module.forward_loop(Y0, V, *rest)
        for a, b in zip(there, here):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
        Y, wrong = here
        there = kernels.backward_loop(Y, 2 * wrong, *rest)
        here = module.backward_loop(Y, 2 * wrong, *rest)
        for a, b in zip(there, here):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
print("equal")
"""


def test_kernels_are_the_loops_of_the_module():
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "equal" in ran.stdout


COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from skdyn.neural import _plrnn_triton as kernels

sizes = {"BM": 4, "BN": 4, "BL": 64}
for kernel in (kernels._forward, kernels._backward):
    for clipped in (False, True):
        fixed = {"CLIPPED": clipped, **sizes}
        kinds = {
            name: "constexpr" if name in fixed
            else "i32" if name in ("batch", "T", "M", "N", "L")
            else "*fp32"
            for name in kernel.arg_names
        }
        at = {(kernel.arg_names.index(name),): value for name, value in fixed.items()}
        source = ASTSource(fn=kernel, signature=kinds, constexprs=at)
        made = compile(source, target=GPUTarget("cuda", 90, 32))
        assert len(made.asm["cubin"]) > 0
print("compiled")
"""


def test_kernels_compile_for_a_gpu_that_is_not_there():
    ran = subprocess.run(
        [sys.executable, "-c", COMPILE], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "compiled" in ran.stdout
