"""The backend `numba`: its parts and threads, its exponentials, its cache, and what is done where numba is broken."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from scan_oracle import assert_equals_by_hand, random_inputs, scan_by_hand
from torch.utils.data import DataLoader, Dataset

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.ops import scan_backend, selective_scan
from deeprftv2_arch.ops.scan import availability, backends, numba_cache, numba_scan
from deeprftv2_arch.ops.scan.backends import choose_backend
from deeprftv2_arch.ops.scan.chunked import selective_scan_chunked
from deeprftv2_arch.ops.scan.numba_scan import selective_scan_numba

numba = pytest.importorskip("numba")

REPOSITORY = Path(__file__).resolve().parent.parent
PATIENCE = 60.0  # seconds


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Set PyTorch's number of threads, and let scans of any size use them."""
    before = torch.get_num_threads()
    monkeypatch.setattr(numba_scan, "WORTH_A_THREAD", 1)
    yield torch.set_num_threads
    torch.set_num_threads(before)


def channels_fastest(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).contiguous().transpose(1, 2)


# --- Parts ---


@pytest.mark.parametrize("layout", [channels_fastest, torch.Tensor.contiguous], ids=["channels", "length"])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("batch", "channels", "length"), [(1, 1, 700), (1, 16, 640), (1, 40, 300), (3, 33, 130), (2, 96, 64), (1, 5, 63)]
)
def test_every_cut_into_parts(threads: Any, batch: int, channels: int, length: int, count: int, layout: Any) -> None:
    threads(count)
    inputs = random_inputs(batch, channels, length, 5)
    inputs[:2] = map(layout, inputs[:2])
    assert_equals_by_hand(selective_scan_numba, inputs, True, rtol=0, atol=1e-11)


def test_the_sequence_is_cut_only_where_that_is_faster(threads: Any) -> None:
    def parts(count: int, batch: int, channels: int, length: int) -> tuple[int, int]:
        threads(count)
        cut = numba_scan._parts(torch.empty(batch, channels, length), 8, 3, 0.8)
        tasks = list(cut.tasks())
        covered = {
            (task.row, block, chunk)
            for task in tasks
            for block in range(task.first_block, task.last_block)
            for chunk in range(task.first_chunk, task.last_chunk)
        }
        assert len(covered) == batch * -(-channels // 16) * -(-length // 64)
        assert all(task.last_block > task.first_block and task.last_chunk > task.first_chunk for task in tasks)
        return cut.groups, cut.segments

    assert parts(1, 1, 96, 33024) == (1, 1)
    assert parts(2, 1, 96, 33024) == (6, 1)
    assert parts(2, 1, 384, 4096) == (6, 1)
    assert parts(2, 1, 16, 33024) == (1, 1)  # two segments would take as long as the whole
    assert parts(4, 1, 16, 33024) == (1, 4)
    assert parts(16, 1, 96, 33024) == (6, 8)
    assert parts(16, 64, 96, 100) == (1, 1)
    assert parts(4, 1, 16, 60) == (1, 1)


@pytest.mark.parametrize("sign", [1, -1])
def test_growth_without_bounds_over_segments(threads: Any, sign: int) -> None:
    """The product of a segment's decays overflows, the state that it multiplies is zero until the last position."""
    threads(8)
    u = torch.zeros(1, 2, 5000)
    u[..., -1] = 1
    ones = torch.ones(1, 3, 5000)
    delta, A = sign * 8 * torch.ones_like(u), sign * torch.ones(2, 3)
    assert numba_scan._parts(u, 3, 3, 0.8).segments > 1
    assert torch.equal(selective_scan_numba(u, delta, A, ones, ones, None, None, False), sign * 24 * u)


def test_a_long_sequence_in_float32(threads: Any) -> None:
    inputs = random_inputs(1, 20, 5000, 8, torch.float32)
    threads(2)
    assert_equals_by_hand(selective_scan_numba, inputs, True, rtol=0, atol=2e-5)
    torch.testing.assert_close(
        selective_scan_numba(*inputs, True), selective_scan_chunked(*inputs, True), rtol=0, atol=1e-4
    )


# --- Exponentials ---


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 4e-7), (torch.float64, 5e-16)])
def test_softplus_keeps_its_digits_everywhere(dtype: torch.dtype, tolerance: float) -> None:
    limit = 80 if dtype == torch.float32 else 700
    delta = torch.linspace(-limit, 100, 4001, dtype=dtype)[:, None, None].requires_grad_()
    one = torch.ones(4001, 1, 1, dtype=dtype)
    y = selective_scan_numba(one, delta, torch.zeros(1, 1, dtype=dtype), one, one, None, None, True)
    (slope,) = torch.autograd.grad(y.sum(), delta)
    exact = delta.detach().double()
    magnitude = 1 + exact.abs()[:, 0, 0]  # what rounding of x log2(e) costs
    for found, expected in (
        (y, torch.logaddexp(exact, torch.zeros_like(exact))),
        (slope, torch.sigmoid(exact)),
    ):
        assert ((found.double() / expected - 1).abs()[:, 0, 0] / magnitude).max() < tolerance


@pytest.mark.parametrize(
    ("dtype", "smallest", "largest", "tolerance"),
    [(torch.float32, -87.3, 88.7, 2e-7), (torch.float64, -708.0, 709.0, 4e-16)],
)
def test_decays_from_zero_to_infinity(dtype: torch.dtype, smallest: float, largest: float, tolerance: float) -> None:
    """A state of one after a step of any size."""
    exponent = torch.linspace(-1000, 1000, 8001, dtype=dtype)
    u, weights = torch.tensor([1.0, 0.0], dtype=dtype).expand(8001, 1, 2), torch.ones(8001, 1, 2, dtype=dtype)
    delta = torch.stack([torch.ones_like(exponent), exponent], 1)[:, None]
    y = selective_scan_numba(u, delta, torch.ones(1, 1, dtype=dtype), weights, weights, None, None, False)[:, 0, 1]
    inside = (exponent > smallest) & (exponent < largest)
    error = (y.double() / exponent.double().exp() - 1).abs() / (1 + exponent.abs())
    assert error[inside].max() < tolerance
    assert not y[exponent < smallest - 1].any()
    assert y[exponent > largest + 1].isinf().all()
    assert y[exponent == 0] == 1


def test_what_is_no_number_stays_so() -> None:
    for index in (0, 1, 2, 3, 4):
        inputs = random_inputs(1, 2, 20, 2, torch.float32)
        inputs[index][(0,) * inputs[index].dim()] = torch.nan
        assert selective_scan_numba(*inputs, True)[0, 0].isnan().any()


# --- Threads ---


def test_it_runs_on_as_many_threads_as_pytorch(threads: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def watch(function: Any, count: Any, most: Any) -> None:
        asked.append(min(count, most))
        for index in range(count):
            function(index)

    monkeypatch.setattr(numba_scan, "run_tasks", watch)
    inputs = random_inputs(1, 96, 70, 2)
    for count in (1, 2, 4, 2):
        threads(count)
        selective_scan_numba(*inputs, True)
    assert asked == [1, 2, 4, 2]
    monkeypatch.setattr(numba_scan, "WORTH_A_THREAD", 2**17)
    selective_scan_numba(*inputs, True)
    assert asked[-1] == 1  # it is over before another thread would have begun


def test_several_python_threads_at_once(threads: Any) -> None:
    threads(2)
    inputs = random_inputs(1, 40, 500, 8)
    grad_y = torch.randn(1, 40, 500, dtype=torch.float64)
    expected, gradients = scan_by_hand(inputs, True, grad_y)
    failures = []

    def call() -> None:
        try:
            leaves = [x.clone().requires_grad_() for x in inputs]
            for _ in range(5):
                y = selective_scan_numba(*leaves, True)
                torch.testing.assert_close(y, expected)
                for ours, theirs in zip(torch.autograd.grad(y, leaves, grad_y), gradients, strict=True):
                    torch.testing.assert_close(ours, theirs)
        except BaseException as failure:
            failures.append(failure)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE)
        assert not caller.is_alive()
    assert not failures


class _Scans(Dataset[torch.Tensor]):
    """Scans in the process that reads the data."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        torch.set_num_threads(self.count)
        return selective_scan_numba(*random_inputs(1, 40, 300), True)[0]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
@pytest.mark.parametrize("count", [1, 2])
def test_workers_of_a_data_loader_scan_too(threads: Any, count: int) -> None:
    threads(2)
    expected = selective_scan_numba(*random_inputs(1, 40, 300), True)
    loader = DataLoader(_Scans(count), num_workers=2, multiprocessing_context="fork", timeout=PATIENCE)
    for y in loader:
        torch.testing.assert_close(y, expected)


def test_it_takes_no_processor_time_while_it_does_nothing(threads: Any) -> None:
    threads(2)
    selective_scan_numba(*random_inputs(1, 96, 300), True)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


# --- Compilation ---


def run_python(code: str, **variables: str) -> str:
    """Run code in a new process; returns what it prints."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_package_neither_imports_numba_nor_compiles(tmp_path: Path) -> None:
    code = "import sys, deeprftv2_arch.ops; print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "False False\n"
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_kernels_are_compiled_once_and_kept(tmp_path: Path) -> None:
    code = (
        "import torch; from deeprftv2_arch.ops.scan.numba_scan import prepare\n"
        "kernels = prepare(torch.float32)\n"
        "print([sum(kernel.stats.cache_hits.values()) for kernel in kernels],"
        " [sum(kernel.stats.cache_misses.values()) for kernel in kernels])"
    )
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "[0, 0, 0] [1, 1, 1]\n"
    kept = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "[1, 1, 1] [0, 0, 0]\n"
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == kept


def test_another_source_processor_or_numba_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    llvm = pytest.importorskip("llvmlite.binding")
    folders = [numba_cache.cache_folder(), numba_cache.cache_folder()]
    assert folders[0] == folders[1]
    assert folders[0].parent == tmp_path / "chosen"

    with monkeypatch.context() as other:
        other.setattr(llvm, "get_host_cpu_name", lambda: "another")
        folders.append(numba_cache.cache_folder())
    with monkeypatch.context() as other:
        features = llvm.get_host_cpu_features()
        other.setattr(llvm, "get_host_cpu_features", lambda: features)
        features[next(iter(features))] ^= True
        folders.append(numba_cache.cache_folder())
    with monkeypatch.context() as other:
        other.setattr(numba, "__version__", "0.0")
        folders.append(numba_cache.cache_folder())
    for name in numba_cache.SOURCES:
        (tmp_path / name).write_bytes((numba_cache.HERE / name).read_bytes())
    with monkeypatch.context() as other:
        other.setattr(numba_cache, "HERE", tmp_path)
        assert numba_cache.cache_folder() == folders[0]
        (tmp_path / "numba_vectors.py").write_text("changed", encoding="utf-8")
        folders.append(numba_cache.cache_folder())
    assert len(set(folders)) == 5


@pytest.mark.slow
def test_all_that_is_compiled_is_in_the_key() -> None:
    """What the kernels import of this package, and what that imports."""
    imported = run_python(
        "import sys; before = set(sys.modules); import deeprftv2_arch.ops.scan.numba_scan\n"
        "after = set(sys.modules); import deeprftv2_arch.ops.scan.numba_kernels\n"
        "print(*[name for name in set(sys.modules) - after if name.startswith('deeprftv2_arch')])"
    )
    names = {f"{name.rpartition('.')[2]}.py" for name in imported.split()}
    assert names | {"numba_layout.py"} == set(numba_cache.SOURCES)


def test_the_first_folder_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(file))
    monkeypatch.setattr(numba_cache, "HERE", file)
    monkeypatch.setattr(numba_cache, "_key", lambda: "key")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert numba_cache.cache_folder() == tmp_path / "caches" / "deeprftv2_arch" / "numba_key"
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    assert numba_cache.cache_folder() is None

    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert numba_cache.cache_folder() is None


@pytest.fixture
def nothing_prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """As in a new process, but for the kernels, which are those that are compiled already; and where they are kept."""
    kernels, kept = numba_scan.prepare(torch.float32), []
    monkeypatch.setattr(numba_scan, "_kernels", None)
    monkeypatch.setattr(numba_scan, "_prepared", set())

    def kept_in(folder: Path | None) -> object:
        kept.append(folder)
        return kernels

    monkeypatch.setattr(numba_scan, "_kernels_kept_in", kept_in)
    availability.numba_failure.cache_clear()
    availability.import_failure.cache_clear()
    yield kept
    availability.numba_failure.cache_clear()
    availability.import_failure.cache_clear()


def test_without_a_folder_the_kernels_are_kept_in_memory(
    nothing_prepared: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(numba_scan, "cache_folder", lambda: None)
    inputs = random_inputs(1, 2, 20, 2, torch.float32)
    expected, _ = scan_by_hand(inputs, True, torch.zeros(1, 2, 20))
    with scan_backend("numba"), caplog.at_level(logging.INFO):
        for _ in range(2):
            torch.testing.assert_close(selective_scan(*inputs, True).double(), expected, rtol=1e-5, atol=1e-5)
    assert nothing_prepared == [None]
    assert [record.getMessage() for record in caplog.records] == [
        "no folder can be written to keep compiled kernels in; each process compiles its own"
    ]


def test_a_cache_that_cannot_be_read_or_written_is_left_alone(
    nothing_prepared: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(numba_scan, "cache_folder", lambda: tmp_path)
    real, failures = numba_scan._try, [OSError("No space left\n on device")]

    def try_once_more(*arguments: object) -> None:
        if failures:
            raise failures.pop()
        real(*arguments)

    monkeypatch.setattr(numba_scan, "_try", try_once_more)
    assert choose_backend("cpu") == choose_backend("cpu") == "numba"
    assert nothing_prepared == [tmp_path, None]
    assert [record.getMessage() for record in caplog.records] == [
        "compiled kernels cannot be kept on disk (No space left on device); each process compiles its own"
    ]


# --- A numba that is broken ---


@pytest.mark.parametrize(
    "failure",
    [
        ImportError("Numba needs NumPy 2.2 or less"),
        OSError("Could not find/load shared object file 'libllvmlite.so'"),
        RuntimeError("Unable to find target for\n this triple"),
        AttributeError("module 'llvmlite.binding' has no attribute 'initialize'"),
    ],
)
@pytest.mark.usefixtures("nothing_prepared")
def test_numba_does_not_compile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Any
) -> None:
    def broken(*arguments: object) -> None:
        raise failure

    monkeypatch.setattr(numba_scan, "_try", broken)
    assert_torch_takes_over(caplog, f"numba does not compile here ({type(failure).__name__}: {one_line(failure)})")


@pytest.mark.usefixtures("nothing_prepared")
def test_the_kernels_compute_something_else(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    real = numba_scan._Scan.forward
    monkeypatch.setattr(numba_scan._Scan, "forward", lambda *a: tuple(1.1 * x for x in real(*a)))
    assert_torch_takes_over(caplog, "numba does not compile here (ArithmeticError: the compiled kernels compute someth")


@pytest.mark.parametrize("failure", [ImportError("wrong LLVM"), SystemError("initialization of _helperlib failed")])
@pytest.mark.usefixtures("nothing_prepared")
def test_numba_does_not_load(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Any) -> None:
    def broken(name: str) -> None:
        raise failure

    monkeypatch.setattr(availability, "import_module", broken)
    assert_torch_takes_over(caplog, f"numba is installed but does not load ({one_line(failure)})")


@pytest.mark.usefixtures("nothing_prepared")
def test_numba_is_not_installed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'numba'", name="numba")

    monkeypatch.setattr(availability, "import_module", missing)
    assert_torch_takes_over(caplog, None)


def one_line(failure: Exception) -> str:
    return " ".join(str(failure).split())


def assert_torch_takes_over(caplog: pytest.LogCaptureFixture, warning: str | None) -> None:
    """Assert that scans work, with one warning at most, and who asks for numba is told why not."""
    inputs = random_inputs(1, 2, 20, 2, torch.float32)
    for _ in range(2):
        torch.testing.assert_close(selective_scan(*inputs, True), selective_scan_chunked(*inputs, True))
        assert choose_backend("cpu") == "torch"
    reason = backends.BACKENDS["numba"].why_not("cpu", torch.float32, 2)
    with scan_backend("numba"), pytest.raises(OptionError) as error:
        selective_scan(*inputs, True)
    assert reason in str(error.value)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (warning is not None)
    assert all(message.startswith(warning) for message in messages)
    assert warning is None or reason.startswith(warning)
