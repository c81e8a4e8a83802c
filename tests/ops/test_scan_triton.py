"""The Triton scan: by its interpreter, as code for a GPU that need not be there, and on one where there is one."""

import inspect
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from gpu_checks import LAYOUTS, SCANS, check_triton, scan_inputs

from deeprftv2_arch.ops.scan import triton_scan

triton = pytest.importorskip("triton", reason="Triton is not installed", exc_type=ImportError)


@pytest.mark.slow
def test_outputs_and_gradients_under_the_interpreter() -> None:
    """In a process of its own: Triton reads TRITON_INTERPRET when it is imported."""
    script = Path(__file__).parents[1] / "helpers" / "triton_scan_interpreted.py"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", str(script)]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTEST_ADDOPTS": ""}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=script.parents[2], timeout=900)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-1000:]
    assert " passed" in run.stdout


def recorded_launches(monkeypatch: pytest.MonkeyPatch, arguments: Any) -> Any:
    """Each kernel with the arguments that the forward and backward pass would launch it with, without a GPU."""
    from deeprftv2_arch.ops.scan import triton_kernels

    launches = []
    for name in ("chunk_ends_kernel", "carries_kernel", "outputs_kernel", "gradients_kernel"):
        kernel = getattr(triton_kernels, name)

        class Recorder:
            def __init__(self, kernel: Any) -> None:
                self.kernel = kernel

            def __getitem__(self, grid: Any) -> Any:
                return lambda *args, **kwargs: launches.append((self.kernel, args, kwargs))

        monkeypatch.setattr(triton_kernels, name, Recorder(kernel))
    arguments = [x.requires_grad_() for x in arguments]
    triton_scan.selective_scan_triton(*arguments, True).sum().backward()
    return launches


def compile_for_hopper(kernel: Any, args: Any, kwargs: Any) -> Any:
    """Compile one launch to PTX, specialised as Triton's launcher does: sizes of 1, and what 16 divides."""
    options = {name: kwargs.pop(name) for name in ("num_warps", "enable_fp_fusion")}
    given = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
    types = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
    signature, constants, attributes = {}, {}, {}
    for parameter in kernel.params:
        name, value = parameter.name, given[parameter.name]
        special = not parameter.do_not_specialize
        if isinstance(value, torch.Tensor):
            signature[name], divisible = types[value.dtype], True
        elif parameter.is_constexpr or value is None or (special and value == 1):
            signature[name], constants[name], divisible = "constexpr", value, False
        else:
            signature[name], divisible = "i32", special and value % 16 == 0
        if divisible:
            attributes[(parameter.num,)] = [["tt.divisibility", 16]]
    source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    target = triton.backends.compiler.GPUTarget("cuda", 90, 32)
    return triton.compile(source, target=target, options=options)


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "dtype"), [("channels", torch.float32), ("length", torch.bfloat16)])
def test_kernels_compile_for_a_gpu_as_intended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: str, dtype: torch.dtype
) -> None:
    """Real compile errors, and the properties that the speed rests on."""
    if "constexprs" not in inspect.signature(triton.compiler.ASTSource).parameters:
        pytest.skip("compiling without a GPU is written for Triton 3.3 and later")
    if triton.knobs.runtime.interpret if hasattr(triton, "knobs") else os.environ.get("TRITON_INTERPRET"):
        pytest.skip("TRITON_INTERPRET is set")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    launches = recorded_launches(monkeypatch, scan_inputs(2, 96, 64, 8, dtype, layout))
    assert len(launches) == 6
    for kernel, args, kwargs in launches:
        name = kernel.fn.__name__
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = compile_for_hopper(kernel, args, dict(kwargs))
        ptx = compiled.asm["ptx"]
        assert "ex2.approx.ftz.f32" in ptx, name
        assert not re.search(r"\b(ld|st)\.local", ptx), name
        if name in ("chunk_ends_kernel", "outputs_kernel"):
            # A thread has a channel of its own: nothing is exchanged between threads, or goes through shared memory.
            assert "shfl" not in ptx, name
            assert "bar.sync" not in ptx, name
            assert compiled.metadata.shared == 0, name
            assert "ld.global.v4.b32" in ptx, name  # the states of B and C and, where time is fastest, u and delta


@pytest.mark.gpu
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scan", SCANS, ids=str)
def test_agrees_with_the_torch_backend_on_a_gpu(scan: Any, layout: Any) -> None:
    check_triton(*scan, layout, "cuda")
