"""What ``benchmarks.all_on_gpu`` writes: the goals, reached or missed, the stages, and the tables, in Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.selective_scan import Shape
from benchmarks.sizes import Size

Record = dict[str, Any]

REACHED, MISSED, NOT_MEASURED = "reached", "missed", "not measured"
PAPER_MEMORY = 3439  # MB, of a training step of B with reversible columns
LONG = 16_384  # positions from which on Triton's scan is to be twice as fast as mamba_ssm's
MOST_DETAIL = 300  # characters of a reason in a table


@dataclass(frozen=True)
class Outcome:
    """How a stage went: ``done``, ``failed``, ``out of time`` or ``not begun``; why, and what it said last."""

    stage: str
    status: str
    seconds: float = 0.0
    reason: str = ""
    log: str = ""


@dataclass
class Sitting:
    """Everything that is known so far.

    Attributes:
        minutes: That it may take.
        rehearsed: On a CPU, at sizes that say nothing.
        records: The results of the stages (:mod:`benchmarks.gpu_stages`).
        outcomes: Of the stages.
    """

    minutes: float
    rehearsed: bool
    records: list[Record] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def device(self) -> Record:
        """What is known of the device, which may be nothing."""
        return next((record for record in reversed(self.records) if record["kind"] == "device"), {})

    @property
    def slug(self) -> str:
        """Name of the device for file names."""
        return "rehearsal" if self.rehearsed else self.device.get("slug", "unknown")

    def raw(self) -> dict[str, Any]:
        """Return every number, for JSON."""
        return {**asdict(self), "goals": [asdict(goal) for goal in goals(self.records)]}


@dataclass(frozen=True)
class Goal:
    """A goal, whether it is reached, and by which values."""

    text: str
    verdict: str
    found: str


def goals(records: Sequence[Record]) -> list[Goal]:
    """Compare all goals with what has been measured."""
    return [_tests(records), _scan(records), *_memory(records), *_speed(records)]


def _verdict(reached: bool) -> str:
    return REACHED if reached else MISSED


def _tests(records: Sequence[Record]) -> Goal:
    outcomes = [record["outcome"] for record in records if record["kind"] == "test"]
    counts = {outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "skipped")}
    found = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    verdict = _verdict(counts["failed"] == 0) if counts["passed"] or counts["failed"] else NOT_MEASURED
    return Goal("no test on a GPU fails", verdict, found)


def _scan(records: Sequence[Record]) -> Goal:
    """Compare Triton's scan in the network's layout with mamba_ssm's in whichever layout is its faster one."""
    text = f"Triton's scan at least 2 times as fast as mamba_ssm's, at batch 1 from {LONG:,} positions on"
    times: dict[tuple[Any, ...], dict[str, float]] = {}
    for record in _of(records, "scan"):
        batch, _, length = record["shape"]
        name = record["backend"]
        if batch != 1 or length < LONG or (name == "triton" and record["fastest"] != "channels"):
            continue
        by_name = times.setdefault((*record["shape"], record["backward"]), {})
        by_name[name] = min(record["seconds"], by_name.get(name, record["seconds"]))
    ratios = [by_name["mamba"] / by_name["triton"] for by_name in times.values() if {"mamba", "triton"} <= {*by_name}]
    if not ratios:
        return Goal(text, NOT_MEASURED, "")
    return Goal(text, _verdict(min(ratios) >= 2), f"{min(ratios):.2f} to {max(ratios):.2f} times")


def _memory(records: Sequence[Record]) -> Iterator[Goal]:
    """Compare peaks with parameters, gradients and images, in float32."""
    peaks = {
        record["mode"]: (record["peak_bytes"] + record["fixed_bytes"]) / 1e6
        for record in _of(records, "memory", network="B", size=256, precision="float32")
    }
    reversible, lean = peaks.get("reversible"), peaks.get("lean")
    text = f"a training step of B, `reversible`, in {PAPER_MEMORY:,} MB"
    if reversible is None:
        yield Goal(text, NOT_MEASURED, "")
    else:
        yield Goal(text, _verdict(reversible <= PAPER_MEMORY), f"{reversible:,.0f} MB")
    text = "`lean` in less than half of that of `reversible`"
    if reversible is None or lean is None:
        yield Goal(text, NOT_MEASURED, "")
    else:
        yield Goal(text, _verdict(lean < reversible / 2), f"{lean:,.0f} MB, {lean / reversible:.2f} of it")


def _speed(records: Sequence[Record]) -> Iterator[Goal]:
    for network in ("B", "S"):
        text = f"{network} at 1280x720, compiled in bf16, at least 3 times as fast as eager in float32"
        found = _of(records, "network", task="inference", network=network, precision="bf16", compiled=True)
        ratios = [r["eager_float32_seconds"] / r["seconds"] for r in found if Size(*r["size"]) == Size(1280, 720)]
        if ratios:
            yield Goal(text, _verdict(ratios[-1] >= 3), f"{ratios[-1]:.2f} times")
        else:
            yield Goal(text, NOT_MEASURED, "")


def _of(records: Iterable[Record], kind: str, **values: Any) -> list[Record]:
    """Return the records of a kind with these values, without those of failures."""
    return [
        record
        for record in records
        if record["kind"] == kind and "failure" not in record and all(record[key] == values[key] for key in values)
    ]


def markdown(sitting: Sitting) -> str:
    """Write the whole report."""
    parts = [_head(sitting), _goal_table(sitting.records), _stage_table(sitting)]
    parts += [section for section in map(_section, _SECTIONS, [sitting.records] * len(_SECTIONS)) if section]
    logs = [f"### {outcome.stage}\n\n```\n{outcome.log}\n```\n" for outcome in sitting.outcomes if outcome.log]
    if logs:
        parts.append("\n".join(["## What the failed stages said last\n", *logs]))
    return "\n".join(parts)


def _head(sitting: Sitting) -> str:
    command = (
        f"python -m benchmarks.all_on_gpu {'--rehearse ' if sitting.rehearsed else ''}--minutes {sitting.minutes:g}"
    )
    device = sitting.device
    lines = ["# One sitting on a GPU" if not sitting.rehearsed else "# Rehearsal on a CPU: its numbers say nothing", ""]
    lines += [f"Measured by `{command}`; compile times are in no measured time.", "", *device.get("environment", [])]
    if "macs_per_second" in device:
        rates = ", ".join(f"{rate / 1e12:.1f} TMAC/s in {name}" for name, rate in device["macs_per_second"].items())
        lines.append(f"- Large matrix product: {rates}; a copy moves {device['bytes_per_second'] / 1e9:.0f} GB/s")
    if "scan" in device:
        lines.append(f"- Scan backend of the networks: {device['scan']}")
    lines += [f"- Not measured: {name}, because {why}" for name, why in device.get("missing", {}).items()]
    return "\n".join(lines) + "\n"


def _goal_table(records: Sequence[Record]) -> str:
    return "## Goals\n\n" + _table(
        ("goal", "verdict", "found"), [(goal.text, goal.verdict, goal.found) for goal in goals(records)]
    )


def _stage_table(sitting: Sitting) -> str:
    rows = [(o.stage, o.status, f"{o.seconds:.0f}" if o.seconds else "", o.reason) for o in sitting.outcomes]
    return "## Stages\n\n" + _table(("stage", "", "s, start and compilation included", "why"), rows)


def _section(name: str, records: Sequence[Record]) -> str:
    """Write the table of one kind of record, empty if there are none."""
    title, columns, row = _SECTIONS[name]
    rows = [row(record) for record in records if record["kind"] == name]
    return f"## {title}\n\n{_table(columns, rows)}" if rows else ""


def _test_row(record: Record) -> tuple[str, ...]:
    return record["name"], record["outcome"], record["detail"]


def _scan_row(record: Record) -> tuple[str, ...]:
    passes = "forward and backward" if record["backward"] else "forward"
    what = (str(Shape(*record["shape"])), record["fastest"], passes, record["backend"])
    if "failure" in record:
        return *what, record["failure"], "", "", ""
    peak, least = record["peak_bytes"], record["least_seconds"]
    return (
        *what,
        f"{1000 * record['seconds']:.3f}",
        str(len(record["runs"])),
        "" if least is None else f"{least / record['seconds']:.0%}",
        "" if peak is None else f"{peak / 1e6:,.0f}",
    )


def _memory_row(record: Record) -> tuple[str, ...]:
    what = (record["network"], str(record["size"]), record["precision"], record["mode"])
    if "failure" in record:
        return *what, record["failure"], "", "", ""
    held, peak, fixed = (record[f"{name}_bytes"] for name in ("held", "peak", "fixed"))
    return *what, f"{held / 1e6:,.0f}", f"{peak / 1e6:,.0f}", f"{(peak + fixed) / 1e6:,.0f}", f"{record['seconds']:.3f}"


def _network_row(record: Record) -> tuple[str, ...]:
    mode = "compiled" if record["compiled"] else "eager"
    what = (record["task"], record["network"], str(Size(*record["size"])), record["precision"], mode, record["scan"])
    if "failure" in record:
        return *what, record["failure"], "", "", ""
    seconds, baseline, least = record["seconds"], record["eager_float32_seconds"], record["least_seconds"]
    ratio = "" if baseline is None else f"{baseline / seconds:.2f}"
    return *what, f"{1000 * seconds:.2f}", ratio, f"{1000 * least:.2f}", f"{least / seconds:.0%}"


_SECTIONS: dict[str, tuple[str, tuple[str, ...], Any]] = {
    "scan": (
        "Selective scan, float32, 8 states",
        ("batch x channels x length", "fastest", "passes", "backend", "ms", "runs", "share of limit", "peak, MB"),
        _scan_row,
    ),
    "network": (
        "The networks",
        (
            *("pass", "network", "size, batch", "precision", "mode", "scan"),
            *("ms", "times as fast as eager float32", "floor, ms", "share of floor"),
        ),
        _network_row,
    ),
    "memory": (
        "Training memory (the paper: 12,027 MB, reversible 3,439 MB)",
        ("network", "size", "precision", "mode", "held, MB", "peak, MB", "peak in all, MB", "s per step"),
        _memory_row,
    ),
    "test": ("Tests", ("test", "outcome", "why"), _test_row),
}


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= MOST_DETAIL else f"{line[:MOST_DETAIL]} ..."
