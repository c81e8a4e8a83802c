"""The stages of ``benchmarks.all_on_gpu``: what each measures, how long it may take, and in which order they come.

A stage sends every result as soon as it has it, as a dictionary of plain values (a *record*) whose key ``kind`` says
what it is: ``device``, ``test``, ``scan``, ``memory`` or ``network``. Each runs in a process of its own.
"""

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks import network_on_gpu, selective_scan, training_memory
from benchmarks.device_limits import copied_bytes_per_second
from benchmarks.environment import device_slug, environment_lines
from benchmarks.network_on_gpu import PRECISIONS, Floors, Variant, measure_rates
from benchmarks.selective_scan import CHANNELS, LENGTH, STATES, Shape, Work
from benchmarks.sizes import Size
from deeprftv2_arch.ops.reversible import Memory
from deeprftv2_arch.ops.scan.backends import BACKENDS, choose_backend

Record = dict[str, Any]
Send = Callable[[Record], None]

TESTS = Path(__file__).resolve().parents[1] / "tests"
SCANS = ("triton", "torch", "mamba")
INFERENCE, TRAINING = "inference", "training step"
COMPILED = "compiled"  # the kind of stage whose duration tells that of the next


@dataclass(frozen=True)
class Extent:
    """How large everything is, and where it runs.

    Attributes:
        device: The GPU, or the CPU for a rehearsal.
        shapes: Of the scans.
        seconds_per_scan: That the runs of one backend may take at one shape.
        networks: Arguments of DeepRFTv2 by name.
        small: Size of the images, and of those of a training step.
        large: A second size.
        rounds: Measured rounds of a pass of the network.
        memory: For the training memory: the network by its name in :mod:`benchmarks.training_memory`, and the size.
        memory_modes: Its modes.
        memory_precisions: And its precisions.
        compiler: Backend of ``torch.compile``.
        compiled: What to compile, in order of worth: task, network, size, precision.
    """

    device: torch.device
    shapes: Sequence[Shape]
    seconds_per_scan: float
    networks: dict[str, dict[str, Any]]
    small: Size
    large: Size
    rounds: int
    memory: tuple[str, int]
    memory_modes: Sequence[Memory]
    memory_precisions: Sequence[str]
    compiler: str
    compiled: Sequence[tuple[str, str, Size, str]]


SMALL, LARGE = Size(256, 256), Size(1280, 720)
ON_GPU = Extent(
    device=torch.device("cuda"),
    shapes=selective_scan.SHAPES,
    seconds_per_scan=1.0,
    networks={name: training_memory.NETWORKS[name] for name in ("S", "B")},
    small=SMALL,
    large=LARGE,
    rounds=10,
    memory=("B", 256),
    memory_modes=training_memory.MODES,
    memory_precisions=tuple(training_memory.PRECISIONS),
    compiler="inductor",
    compiled=[
        (INFERENCE, "B", LARGE, "bf16"),
        (INFERENCE, "S", LARGE, "bf16"),
        (INFERENCE, "B", SMALL, "bf16"),
        (INFERENCE, "S", SMALL, "bf16"),
        (TRAINING, "B", SMALL, "bf16"),
        *(
            (INFERENCE, name, size, precision)
            for name, size, precision in product("BS", (LARGE, SMALL), PRECISIONS[:2])
        ),
        (TRAINING, "B", SMALL, "float32"),
    ],
)
TINY = {"dim": 2, "units": 1, "blocks": (1, 1, 1), "full_kinds": ("NAF",) * 3, "fke_blocks": (1,)}
REHEARSED = Extent(
    device=torch.device("cpu"),
    shapes=[Shape(1, 2, 9)],
    seconds_per_scan=0.05,
    networks={"S": TINY, "B": TINY},
    small=Size(16, 16),
    large=Size(24, 16),
    rounds=1,
    memory=("tiny", 8),
    memory_modes=("reversible",),
    memory_precisions=("float32",),
    compiler="eager",
    compiled=[(INFERENCE, "B", Size(24, 16), "bf16")],
)


@dataclass(frozen=True)
class Stage:
    """A part of the sitting.

    Attributes:
        name: For people.
        run: Measures; called with what takes its records.
        needs: Seconds without which it is not begun.
        limit: Seconds after which it is ended.
        kind: Stages of one kind take about the same time: once one is done, the next need as long.
    """

    name: str
    run: Callable[[Send], None]
    needs: float
    limit: float
    kind: str = ""


def stages(extent: Extent) -> Iterator[Stage]:
    """Return all stages in order of worth, those that compile whole networks last."""
    yield Stage("device", partial(device, extent), 15, 60)
    yield Stage("tests", partial(tests, extent), 20, 150)
    yield Stage("selective scan", partial(scan, extent), 15, 120)
    yield Stage("training memory", partial(memory, extent), 10, 90)
    yield Stage(
        "inference, eager", partial(eager, extent, INFERENCE, ("B", "S"), (extent.large, extent.small)), 15, 120
    )
    yield Stage("training step, eager", partial(eager, extent, TRAINING, ("B",), (extent.small,)), 10, 60)
    for task, network, size, precision in extent.compiled:
        name = f"{task}, compiled: {network} at {size.width}x{size.height} in {precision}"
        yield Stage(name, partial(compiled, extent, task, network, size, precision), 60, 300, COMPILED)


def device(extent: Extent, send: Send) -> None:
    """Record the device, its limits, and which scan backends there are."""
    record: Record = {
        "kind": "device",
        "slug": device_slug(extent.device),
        "environment": environment_lines(extent.device),
        "scan": choose_backend(extent.device.type, torch.float32),
        "missing": {name: why for name in SCANS if (why := _why_not(name, extent)) is not None},
    }
    send(record)
    rates = measure_rates(PRECISIONS, extent.device)
    send({**record, "macs_per_second": rates.macs, "bytes_per_second": rates.bandwidth})


def tests(extent: Extent, send: Send) -> None:
    """Run the tests marked ``gpu`` where pytest and BasicSR are there; else, and in a rehearsal, what needs neither."""
    if extent.device.type == "cuda" and find_spec("pytest") and find_spec("basicsr"):
        marked_tests(TESTS, send)
    else:
        why_not = "needs a GPU, pytest and BasicSR"
        send({"kind": "test", "name": "tests/models", "outcome": "skipped", "detail": why_not})
        checks(extent.device.type, send)


def checks(device_type: str, send: Send) -> None:
    """Check what tests/helpers/gpu_checks.py checks."""
    sys.path.insert(0, str(TESTS / "helpers"))
    from gpu_checks import all_checks

    for check in all_checks(device_type):
        outcome, detail = "passed", ""
        if check.why_not is not None:
            outcome, detail = "skipped", check.why_not
        else:
            torch.manual_seed(0)
            try:
                check.call()
            except Exception as error:  # whatever it is: the next one counts too
                outcome, detail = "failed", f"{type(error).__name__}: {error}"
        send({"kind": "test", "name": check.name, "outcome": outcome, "detail": detail})


def marked_tests(folder: Path, send: Send) -> None:
    """Run the tests of a folder that are marked ``gpu``; a file that cannot be imported counts as skipped."""
    import pytest

    class Recorder:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.when == "call" or report.outcome != "passed":
                detail = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
                send({"kind": "test", "name": report.nodeid, "outcome": report.outcome, "detail": detail})

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                detail = "not imported: " + report.longreprtext.strip().splitlines()[-1].removeprefix("E").strip()
                send({"kind": "test", "name": report.nodeid, "outcome": "skipped", "detail": detail})

    files = sorted(str(file) for file in folder.rglob("test_*.py") if "mark.gpu" in file.read_text(encoding="utf-8"))
    options = [
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        "--rootdir",
        str(folder.parent),
    ]
    code = pytest.main([*options, *files], plugins=[Recorder()])
    if code in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        raise RuntimeError(f"pytest ended with {code!r}")


def scan(extent: Extent, send: Send) -> None:
    """Time and peak memory of the scan backends; mamba_ssm's also in the layout that its kernel wants."""
    names = [name for name in SCANS if _why_not(name, extent) is None]
    on_gpu = extent.device.type == "cuda"
    limit = copied_bytes_per_second(extent.device) if on_gpu else 1e9
    for shape, fastest, backward in product(extent.shapes, (CHANNELS, LENGTH), (False, True)):
        if fastest == LENGTH and "mamba" not in names:
            continue
        work = Work(shape, fastest, backward, extent.device)
        record = {"kind": "scan", "shape": shape, "fastest": fastest, "backward": backward}
        peaks = selective_scan.peaks_by_name(work, names) if on_gpu else dict.fromkeys(names)
        try:
            times = selective_scan.measure(work, peaks, extent.seconds_per_scan)
        except ArithmeticError as error:
            send({**record, "backend": "all", "failure": str(error)})
            continue
        for name in names:
            if name not in times:
                send({**record, "backend": name, "failure": "out of memory"})
                continue
            send(
                {
                    **record,
                    "backend": name,
                    "seconds": statistics.median(times[name]),
                    "runs": times[name],
                    "least_seconds": work.limit(limit) if on_gpu else None,
                    "peak_bytes": peaks[name],
                }
            )


def memory(extent: Extent, send: Send) -> None:
    """Measure what a training step keeps in memory, in every memory mode."""
    network, size = extent.memory
    for precision in extent.memory_precisions:
        taken, seconds = training_memory.measure(network, list(extent.memory_modes), size, 1, precision, extent.device)
        for mode in extent.memory_modes:
            record = {"kind": "memory", "network": network, "size": size, "precision": precision, "mode": mode}
            if mode in taken:
                found = taken[mode]
                figures = {"held_bytes": found.held, "peak_bytes": found.peak, "fixed_bytes": found.fixed}
                send({**record, **figures, "seconds": seconds[mode]})
            else:
                send({**record, "failure": "out of memory"})


def eager(extent: Extent, task: str, networks: Sequence[str], sizes: Sequence[Size], send: Send) -> None:
    """Time of the networks in every precision, not compiled, beside float32 with mamba_ssm's scan where it is built."""
    own = choose_backend(extent.device.type, torch.float32)
    variants = [Variant(precision, False, own) for precision in PRECISIONS]
    if _why_not("mamba", extent) is None:
        variants.append(Variant("float32", False, "mamba"))
    for name, size in product(networks, sizes):
        _time_network(extent, task, name, size, variants, send)


def compiled(extent: Extent, task: str, network: str, size: Size, precision: str, send: Send) -> None:
    """Time of one network in one precision, compiled, beside eager float32."""
    own = choose_backend(extent.device.type, torch.float32)
    _time_network(extent, task, network, size, [Variant("float32", False, own), Variant(precision, True, own)], send)


def _time_network(extent: Extent, task: str, name: str, size: Size, variants: Sequence[Variant], send: Send) -> None:
    """Measure the variants side by side; the first is what the others are compared with."""
    arguments = extent.networks[name]
    floors = Floors(arguments, size, measure_rates([variant.precision for variant in variants], extent.device))
    times = network_on_gpu.measure(task, arguments, size, variants, extent.rounds, extent.device, extent.compiler)
    for variant in variants:
        record = {"kind": "network", "task": task, "network": name, "size": size, **variant._asdict()}
        time = times[variant]
        if time is None:
            send({**record, "failure": "out of memory"})
        else:
            least = floors.of(variant.precision, task)
            send({**record, "seconds": time, "eager_float32_seconds": times[variants[0]], "least_seconds": least})


def _why_not(backend: str, extent: Extent) -> str | None:
    return BACKENDS[backend].why_not(extent.device.type, torch.float32, STATES)
