"""Which backend of the selective scan is chosen, what hinders the others, and what a user reads about it."""

import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from deblur_model_helpers import build
from gpu_checks import check_mamba
from scan_oracle import random_inputs, scan_by_hand

from deeprftv2_arch import __main__ as command_line
from deeprftv2_arch import __version__
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.ops import scan_backend, selective_scan
from deeprftv2_arch.ops.scan import availability, backends
from deeprftv2_arch.ops.scan.backends import choose_backend, set_backend_of_options
from deeprftv2_arch.ops.scan.mamba import selective_scan_mamba
from deeprftv2_arch.options.sections import RunOptions

VARIABLE = "DEEPRFTV2_SCAN_BACKEND"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(backends, "_set_by_options", "auto")


def with_packages(
    monkeypatch: pytest.MonkeyPatch, *there: str, driver: str | None = None, compiler: str | None = None
) -> None:
    """Pretend that these packages load, that others are not installed, and what Triton's driver and numba say."""
    monkeypatch.setattr(
        backends, "import_failure", lambda package, module: None if package in there else f"{package} is not installed"
    )
    monkeypatch.setattr(backends, "triton_driver_failure", lambda: driver)
    monkeypatch.setattr(backends, "numba_failure", lambda dtype: compiler)


@pytest.mark.parametrize(
    ("packages", "driver", "device", "chosen"),
    [
        (("triton", "mamba_ssm"), None, "cpu", "torch"),
        (("triton", "mamba_ssm"), None, "mps", "torch"),
        (("triton", "mamba_ssm"), None, "meta", "torch"),
        (("triton", "mamba_ssm"), None, "cuda", "triton"),
        (("triton", "mamba_ssm"), "triton does not start (no C compiler)", "cuda", "mamba"),
        (("mamba_ssm",), None, "cuda", "mamba"),
        ((), None, "cuda", "torch"),
        (("numba", "triton"), None, "cpu", "numba"),
        (("numba",), None, "cuda", "torch"),
        (("numba",), None, "mps", "torch"),
        (("numba",), None, "meta", "torch"),
    ],
)
def test_the_device_decides_where_nothing_is_set(
    monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], driver: str | None, device: str, chosen: str
) -> None:
    with_packages(monkeypatch, *packages, driver=driver)
    assert choose_backend(device, torch.float32) == chosen
    assert choose_backend(device, torch.float64) == (chosen if chosen == "numba" else "torch")


def test_where_numba_does_not_compile_torch_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages(monkeypatch, "numba", compiler="numba does not compile here (no such processor)")
    assert choose_backend("cpu") == "torch"
    with scan_backend("numba"), pytest.raises(OptionError, match=r"on cpu: numba does not compile here \(no such pro"):
        choose_backend("cpu")


def test_more_states_than_a_kernel_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages(monkeypatch, "triton", "mamba_ssm")
    assert [choose_backend("cuda", torch.float32, states) for states in (16, 17, 256, 257)] == [
        "triton",
        "mamba",
        "mamba",
        "torch",
    ]
    with scan_backend("triton"), pytest.raises(OptionError, match="it takes at most 16 states, not 17"):
        choose_backend("cuda", torch.float32, 17)


def test_context_over_environment_over_option(monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages(monkeypatch)
    set_backend_of_options("reference")
    assert choose_backend("cpu") == "reference"
    monkeypatch.setenv(VARIABLE, "torch")
    assert choose_backend("cpu") == "torch"
    with scan_backend("reference"):
        assert choose_backend("cpu") == "reference"
        with scan_backend("auto"):
            assert choose_backend("cpu") == "torch"
            with pytest.raises(ValueError, match="u must be"), scan_backend("reference"):
                selective_scan(*[torch.zeros(())] * 5)
            assert choose_backend("cpu") == "torch"
        assert choose_backend("cpu") == "reference"
    assert choose_backend("cpu") == "torch"
    monkeypatch.setenv(VARIABLE, "")
    assert choose_backend("cpu") == "reference"


def test_the_chosen_backend_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages(monkeypatch)
    inputs = random_inputs(dtype=torch.float32)
    for name in ("torch", "reference"):
        marked = backends.Backend(lambda *tensors, name=name: tensors[0] * len(name), lambda *_: None, "torch")
        monkeypatch.setitem(backends.BACKENDS, name, marked)
    torch.testing.assert_close(selective_scan(*inputs), inputs[0] * len("torch"))
    with scan_backend("reference"):
        torch.testing.assert_close(selective_scan(*inputs), inputs[0] * len("reference"))


@pytest.mark.parametrize(
    ("name", "packages", "dtype", "message"),
    [
        ("mamba", (), torch.float32, "the scan backend 'mamba' cannot run on cpu: mamba_ssm is not installed; "),
        ("mamba", ("mamba_ssm",), torch.float32, "cannot run on cpu: it needs a CUDA device; "),
        ("triton", (), torch.float32, "the scan backend 'triton' cannot run on cpu: triton is not installed; "),
        ("numba", (), torch.float32, "the scan backend 'numba' cannot run on cpu: numba is not installed; "),
        ("triton", ("triton",), torch.float32, r"it needs a CUDA device \(or TRITON_INTERPRET=1, for tests\); "),
    ],
)
def test_a_backend_that_is_chosen_and_cannot_run_is_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str, packages: tuple[str, ...], dtype: torch.dtype, message: str
) -> None:
    with_packages(monkeypatch, *packages)
    with scan_backend(name), pytest.raises(OptionError, match=f"^scan_backend: .*{message}") as error:
        selective_scan(*random_inputs(dtype=dtype))
    assert "\n" not in str(error.value)
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(OptionError, match=f"^environment variable {VARIABLE}: .*{message}"):
        selective_scan(*random_inputs(dtype=dtype))
    monkeypatch.delenv(VARIABLE)
    set_backend_of_options(name)
    with pytest.raises(OptionError, match=f"^option scan_backend: .*{message}"):
        selective_scan(*random_inputs(dtype=dtype))


@pytest.mark.parametrize("name", ["mamba", "triton"])
def test_kernels_that_have_no_float64_refuse_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with_packages(monkeypatch, "triton", "mamba_ssm")
    with scan_backend(name), pytest.raises(OptionError, match="it computes in float32, not in float64"):
        choose_backend("cuda", torch.float64)


def test_triton_on_the_cpu_only_interpreted_and_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages(monkeypatch, "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choose_backend("cpu") == "torch"
    with scan_backend("triton"):
        assert choose_backend("cpu") == "triton"


def test_unknown_names_are_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    known = "'fast' is no scan backend; known are auto, mamba, triton, numba, torch, reference$"
    with pytest.raises(OptionError, match=f"^scan_backend: {known}"), scan_backend("fast"):
        pass
    with pytest.raises(OptionError, match=f"^option scan_backend: {known}"):
        set_backend_of_options("fast")
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(OptionError, match=f"^environment variable {VARIABLE}: {known}"):
        selective_scan(*random_inputs())


# --- What is there ---


@pytest.fixture
def fresh_lookups() -> Iterator[None]:
    lookups = (availability.import_failure, availability.triton_driver_failure, availability.numba_failure)
    for lookup in lookups:
        lookup.cache_clear()
    yield
    for lookup in lookups:
        lookup.cache_clear()


def mamba_failure() -> str | None:
    return availability.import_failure("mamba_ssm", "mamba_ssm.ops.selective_scan_interface")


@pytest.mark.parametrize(
    "failure",
    [
        OSError("undefined\n symbol: _ZN3c10"),
        ImportError("libcudart.so.11.0"),
        RuntimeError("wrong CUDA"),
        ModuleNotFoundError("No module named 'selective_scan_cuda'", name="selective_scan_cuda"),
    ],
)
@pytest.mark.usefixtures("fresh_lookups")
def test_a_build_that_does_not_load_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], failure: Any
) -> None:
    def broken_import(name: Any) -> None:
        raise failure

    monkeypatch.setattr(availability, "import_module", broken_import)
    reason = " ".join(str(failure).split())
    assert mamba_failure() == mamba_failure() == f"mamba_ssm is installed but does not load ({reason})"
    assert [reason in record.getMessage() for record in caplog.records] == [True]
    assert f"no: mamba_ssm is installed but does not load ({reason})" in run_backends(monkeypatch, capsys)


@pytest.mark.usefixtures("fresh_lookups")
def test_a_package_that_is_not_installed_is_not_worth_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(name: Any) -> None:
        raise ModuleNotFoundError("No module named 'mamba_ssm'", name="mamba_ssm")

    monkeypatch.setattr(availability, "import_module", missing)
    assert mamba_failure() == "mamba_ssm is not installed"
    assert not caplog.records


@pytest.mark.parametrize(
    ("backend", "arch", "reason"),
    [
        ("cuda", 90, None),
        ("cuda", 70, None),
        ("cuda", 61, "triton needs a GPU of compute capability 7.0 or later, and this one has 6.1"),
        ("hip", "gfx942", None),
    ],
)
@pytest.mark.usefixtures("fresh_lookups")
def test_what_tritons_driver_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, backend: str, arch: int | str, reason: str | None
) -> None:
    runtime = pytest.importorskip("triton.runtime")
    active = types.SimpleNamespace(get_current_target=lambda: types.SimpleNamespace(backend=backend, arch=arch))
    monkeypatch.setattr(runtime, "driver", types.SimpleNamespace(active=active))
    assert availability.triton_driver_failure() == availability.triton_driver_failure() == reason
    assert len(caplog.records) == (reason is not None)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            RuntimeError("Failed to find C compiler.\nPlease specify via CC"),
            "Failed to find C compiler. Please specify via CC",
        ),
        (subprocess.CalledProcessError(1, ["cc"]), "Command '['cc']' returned non-zero exit status 1."),
        (AssertionError("libcuda.so cannot found!"), "libcuda.so cannot found!"),
    ],
)
@pytest.mark.usefixtures("fresh_lookups")
def test_a_driver_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Any, told: str
) -> None:
    def start() -> None:
        raise failure

    active = types.SimpleNamespace(get_current_target=start)
    monkeypatch.setattr(pytest.importorskip("triton.runtime"), "driver", types.SimpleNamespace(active=active))
    reason = f"triton does not start ({type(failure).__name__}: {told})"
    assert availability.triton_driver_failure() == reason
    assert [record.getMessage() for record in caplog.records] == [f"{reason}; the selective scan does without it"]


def test_blocks_that_overlap_in_two_threads_leave_nothing_behind() -> None:
    before = backends.current_setting()
    first, second = ExitStack(), ExitStack()
    first.enter_context(scan_backend("reference"))
    second.enter_context(scan_backend("torch"))
    first.close()
    assert backends.current_setting().name == "torch"
    second.close()
    assert backends.current_setting() == before


@pytest.mark.parametrize("name", [["torch"], {}, None, 3])
def test_names_that_are_no_text_are_refused(name: Any) -> None:
    with pytest.raises(OptionError, match="is no scan backend; known are auto, "):
        set_backend_of_options(name)


# --- mamba_ssm, as far as it can be tested without a GPU ---


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Install a mamba_ssm whose kernel has the real one's signature and demands, by hand; return its calls."""
    calls = []

    def selective_scan_fn(
        u: Any,
        delta: Any,
        A: Any,
        B: Any,
        C: Any,
        D: Any = None,
        z: Any = None,
        delta_bias: Any = None,
        delta_softplus: bool = False,
        return_last_state: bool = False,
    ) -> Any:
        calls.append((u, delta, A, B, C, D, delta_bias))
        assert u.dtype == delta.dtype == B.dtype == C.dtype
        assert all(x is None or x.dtype == torch.float32 for x in (A, D, delta_bias))
        assert all(x is None or x.stride(-1) == 1 for x in calls[-1])
        assert z is None
        assert return_last_state is False
        return scan_by_hand(calls[-1], delta_softplus, torch.zeros_like(u))[0].to(u.dtype)

    interface = types.ModuleType("mamba_ssm.ops.selective_scan_interface")
    vars(interface)["selective_scan_fn"] = selective_scan_fn
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    return calls


@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("optional", [False, True])
def test_mamba_gets_what_its_kernel_demands(kernel_calls: list[Any], softplus: bool, optional: bool) -> None:
    inputs = random_inputs(dtype=torch.bfloat16, skip=optional, bias=optional)
    for index in (0, 1, 3, 4):
        inputs[index] = inputs[index].transpose(1, 2).contiguous().transpose(1, 2)
    inputs[1], inputs[2] = inputs[1].float(), inputs[2].t().contiguous().t()
    if optional:
        inputs[5], inputs[6] = inputs[5].repeat_interleave(2)[::2], inputs[6].double()
    y = selective_scan_mamba(*inputs, softplus)
    assert y.dtype == torch.bfloat16
    expected = scan_by_hand(inputs, softplus, torch.zeros_like(inputs[0]))[0]
    torch.testing.assert_close(y.double(), expected, rtol=2**-8, atol=1e-3)


def test_mamba_copies_only_what_it_must(kernel_calls: list[Any]) -> None:
    inputs = random_inputs(dtype=torch.float16)
    both = torch.cat([inputs[3], inputs[4]], dim=1)
    inputs[3:5] = both.split(inputs[3].shape[1], dim=1)  # no neighbours across states, but along the sequence
    selective_scan_mamba(*inputs, True)
    assert [x.data_ptr() for x in kernel_calls[0]] == [x.data_ptr() for x in inputs]


@pytest.mark.gpu
def test_mamba_agrees_on_cuda() -> None:
    if mamba_failure():
        pytest.skip(mamba_failure())
    check_mamba("cuda")


# --- torch.compile ---


def test_what_is_installed_is_a_constant_to_compiled_code() -> None:
    def times_length_of_reason(x: Any) -> Any:
        return x * len(availability.import_failure("no_such_package", "no_such_package.kernels"))

    compiled = torch.compile(times_length_of_reason, fullgraph=True, backend="eager")
    assert compiled(torch.ones(())) == len("no_such_package is not installed")


def test_compiled_code_follows_the_choice() -> None:
    compilations = []

    def count(graph: Any, _: Any) -> Any:
        compilations.append([str(node.target) for node in graph.graph.nodes if node.op == "call_function"])
        return graph

    def scan(*tensors: Any) -> Any:
        return 2 * selective_scan(*tensors, True)

    inputs = [x.requires_grad_() for x in random_inputs(1, 2, 3, 2)]
    expected = 2 * scan_by_hand(inputs, True, torch.zeros_like(inputs[0]))[0]
    compiled = torch.compile(scan, fullgraph=True, backend=count)
    with scan_backend("torch"):
        torch.testing.assert_close(compiled(*inputs), expected)
    with scan_backend("reference"):
        torch.testing.assert_close(compiled(*inputs), expected)
    set_backend_of_options("reference")
    torch.testing.assert_close(compiled(*inputs), expected)
    set_backend_of_options("auto")
    torch.testing.assert_close(compiled(*inputs), expected)
    with scan_backend("torch"):
        torch.testing.assert_close(compiled(*inputs), expected)
    operators = {"chunked_scan": "torch", "numba_scan": "numba"}
    used = [
        next((backend for operator, backend in operators.items() if operator in " ".join(names)), "reference")
        for names in compilations
    ]
    assert used == ["torch", "reference", "reference", choose_backend("cpu", torch.float64)]


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_gradients_without_graph_breaks(dynamic: bool, backend: str) -> None:
    def scan(*tensors: Any) -> Any:
        with scan_backend(backend):
            return selective_scan(*tensors, True)

    compiled = torch.compile(scan, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for length in (40, 150):
        inputs = [x.requires_grad_() for x in random_inputs(2, 3, length)]
        y = compiled(*inputs)
        grad_y = torch.randn_like(y)
        expected, gradients = scan_by_hand(inputs, True, grad_y)
        torch.testing.assert_close(y, expected)
        for ours, theirs in zip(torch.autograd.grad(y, inputs, grad_y), gradients, strict=True):
            torch.testing.assert_close(ours, theirs)


# --- What users see and set ---


def run_backends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["deeprftv2_arch", "backends"])
    command_line.main()
    return capsys.readouterr().out


def test_the_command_shows_backends_versions_and_choice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_packages(monkeypatch)
    shown = run_backends(monkeypatch, capsys)
    lines = [line.split() for line in shown.splitlines()]
    assert f"deeprftv2_arch {__version__}, Python" in shown  # what a report of a fault is asked for
    assert f"PyTorch {torch.__version__}," in shown
    assert "setting: auto (nothing else is set)" in shown
    assert ["mamba", "-", "no:", "mamba_ssm", "is", "not", "installed"] in lines
    assert ["torch", torch.__version__.split("+")[0], "yes"] in [
        [a, b.split("+")[0], c] for a, b, c in (line for line in lines if len(line) == 3)
    ]
    assert ["cpu", "torch"] in lines

    monkeypatch.setenv(VARIABLE, "reference")
    shown = run_backends(monkeypatch, capsys)
    assert f"setting: reference (environment variable {VARIABLE})" in shown
    assert ["cpu", "reference"] in [line.split() for line in shown.splitlines()]

    monkeypatch.setenv(VARIABLE, "triton")
    assert "cpu  error: environment variable" in run_backends(monkeypatch, capsys).replace("cpu     ", "cpu  ")
    monkeypatch.setenv(VARIABLE, "fast")
    assert f"setting: environment variable {VARIABLE}: 'fast' is no scan backend" in run_backends(monkeypatch, capsys)


def test_the_schema_of_option_files_knows_every_backend() -> None:
    hint = get_type_hints(RunOptions)["scan_backend"]
    assert get_args(hint) == ("auto", *backends.BACKENDS)


def test_the_model_reads_the_option(tmp_path: Path) -> None:
    build(tmp_path, scan_backend="reference")
    assert backends.current_setting() == ("reference", "option scan_backend")
    build(tmp_path)
    assert backends.current_setting().name == "auto"
    with pytest.raises(OptionError, match="option scan_backend: 'fast' is no scan backend"):
        build(tmp_path, scan_backend="fast")
