"""An evaluation from the option file to the report."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from deeprftv2_arch.checkpoints.building import is_of_checkpoint
from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.common.parallel import Map
from deeprftv2_arch.errors import EvaluationError, OptionError
from deeprftv2_arch.launch.loaders import require_one
from deeprftv2_arch.launch.processes import begin_process, only_run_in, process_group
from deeprftv2_arch.measuring.comparison import Comparison, Measured, names_of
from deeprftv2_arch.measuring.costs import Costs, costs_of
from deeprftv2_arch.measuring.evaluated_network import Tiles, build_chosen_network
from deeprftv2_arch.measuring.evaluation_report import as_csv, evaluation_report, file_name
from deeprftv2_arch.measuring.evaluator import Evaluator
from deeprftv2_arch.measuring.measuring_processes import default_workers, measuring_processes
from deeprftv2_arch.measuring.report import write_reports
from deeprftv2_arch.measuring.runs import runs_of_checkpoints
from deeprftv2_arch.measuring.table import check_table_file, write_table
from deeprftv2_arch.measuring.test_sets import TestSets, open_test_sets
from deeprftv2_arch.measuring.triplets import cases, sheet
from deeprftv2_arch.metrics.aligned import ALIGNED_METRICS
from deeprftv2_arch.metrics.protocols import Protocol, find_protocol
from deeprftv2_arch.metrics.results import SetResult
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.loading import Run, load_options

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        arguments: The first option file, if there is one, and how the process was started.
        protocol: Name of the protocol; None: the option file's.
        tiles: Size and overlap of the tiles, or ``whole``; None: as the option file says.
        partial: Whether test sets may have another number of images than the published ones.
        workers: Number of processes that measure; None: from the number of CPUs.
        triplets: Whether to save images of the best, the median and the worst case.
        out: Folder of the results; None: ``results/<name>/evaluation``.
        more: Further option files.
        checkpoints: Networks that their weights tell, beside those of the option files.
        data: Folder of the test sets of the protocol, in place of option files.
        table: A file that also gets the table.
    """

    arguments: Arguments
    protocol: str | None = None
    tiles: Tiles = None
    partial: bool = False
    workers: int | None = None
    triplets: bool = False
    out: Path | None = None
    more: tuple[Path, ...] = ()
    checkpoints: tuple[Path, ...] = ()
    data: Path | None = None
    table: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All option files."""
        return () if self.data is not None else (self.arguments.opt, *self.more)

    @property
    def compares(self) -> bool:
        """Whether the report is that of several networks, with what they cost."""
        return bool(self.checkpoints or self.more or self.table)


def evaluate(request: Request, root: Path) -> Iterator[str]:
    """Measure networks, and write down what was found; as one of several processes, its share.

    Args:
        request: What the user asked for.
        root: Folder that gets ``results/``.

    Yields:
        In the first process, the table.

    Raises:
        DeepRFTv2Error: Anything that the user can put right; in the first process, an :class:`EvaluationError` after
            everything else has been measured: some images could not be.
    """
    if request.table is not None:
        check_table_file(request.table)
    if request.compares and request.triplets:
        raise OptionError("--triplets: shows one network; take --checkpoint, --table and further option files away")
    runs = _runs(request, root)
    first = runs[0]
    named_by = "--protocol" if request.protocol or request.data else f"{first.file}: protocol"
    protocol = find_protocol(request.protocol or first.options.protocol, named_by)
    process = begin_process(first, request.arguments.launcher)
    with process_group(process):
        sets = _sets_by_scale(runs, protocol, request.partial)
        evaluators = []
        for run in runs:
            network, weights = build_chosen_network(run, request.tiles)
            evaluators.append(Evaluator(run.options, process, protocol, network, weights, sets[run.options.scale]))
        folder = request.out or first.folder / "evaluation"
        if process.rank == 0:
            _make_folder(folder)
            # Hours before the first value.
            for name, reason in evaluators[0].unavailable.items():
                logger.warning("%s will not be measured: %s", name, reason)
        tasks = sum(evaluator.tasks for evaluator in evaluators)
        workers = default_workers(tasks) if request.workers is None else request.workers
        # A test of this name would put the whole folder aside.
        with only_run_in(first.folder if request.out is None else folder / "evaluation"):
            with measuring_processes(workers) as map_:
                results = [_measured(evaluator, map_, request.compares) for evaluator in evaluators]
            # Another process that ended with an error could make the launcher stop this one before it has written.
            if process.rank == 0 and request.compares:
                yield from _report_comparison(evaluators, results, folder, first.options.name, request.table)
            elif process.rank == 0:
                yield from _report(evaluators[0], results[0][0], folder, request.triplets)


def _runs(request: Request, root: Path) -> list[Run]:
    """Return what is to be measured, in the order of the command line."""
    arguments = request.arguments
    runs = [load_options(replace(arguments, opt=file), root, False, evaluates=True) for file in request.files]
    return runs + runs_of_checkpoints(
        request.checkpoints, request.files, request.protocol, request.data, arguments, root, evaluates=True
    )


def _sets_by_scale(runs: list[Run], protocol: Protocol, partial: bool) -> dict[int, TestSets]:
    """Open the sets of all runs; all networks of a scale are measured on the same, each set as it is named first.

    Raises:
        DataError: There is no set at all.
        OptionError: A set is not the published one.
    """
    sets: dict[int, TestSets] = {}
    for run in runs:
        if is_of_checkpoint(run.options.network_g) and run.options.scale in sets:
            continue  # whose sets are those of an earlier run
        opened = open_test_sets(run, protocol, partial)
        earlier = sets.get(run.options.scale, TestSets({}, {}))
        found = earlier.found | {name: data for name, data in opened.found.items() if name not in earlier.found}
        missing = {name: why for name, why in (opened.missing | earlier.missing).items() if name not in found}
        sets[run.options.scale] = TestSets(found, missing)
    require_one(
        [name for opened in sets.values() for name in opened.found],
        {name: why for opened in sets.values() for name, why in opened.missing.items()},
    )
    return sets


def _measured(evaluator: Evaluator, map_: Map, counts: bool) -> tuple[list[SetResult], Costs | None]:
    """Measure one network, and count what it costs; the network is on its device only meanwhile."""
    evaluator.network.to(evaluator.device)
    costs = costs_of(evaluator.network) if counts and evaluator.process.rank == 0 else None
    results = [evaluator.measured(name, map_) for name in evaluator.datasets]
    if counts:
        evaluator.network.to("cpu")
    return results, costs


def _report_comparison(
    evaluators: list[Evaluator],
    found: list[tuple[list[SetResult], Costs | None]],
    folder: Path,
    name: str,
    table: Path | None,
) -> Iterator[str]:
    """Write and yield what was found of several networks; those that failed on images are named and left out."""
    measured = [
        Measured(evaluator, results, costs, title)
        for evaluator, (results, costs), title in zip(evaluators, found, names_of(evaluators), strict=True)
        if costs is not None
    ]
    comparison = Comparison(measured, name)
    for one in measured:
        for fault in one.faults:
            logger.error("%s: %s", one.name, fault)
    files = {".csv": comparison.images_as_csv()}
    if comparison.whole:
        text = comparison.as_markdown()
        yield text
        files |= {".json": comparison.as_json(), ".md": text}
    write_reports(
        folder, {comparison.file_name(ending): text for ending, text in files.items()}, "the averages are printed"
    )
    if comparison.whole and table is not None:
        write_table(comparison.table, table)
    failed = [one for one in measured if one.faults]
    if failed:
        number = sum(len(one.faults) for one in failed)
        total = sum(len(result.images) for one in failed for result in one.results)
        raise EvaluationError(
            f"{number:,} of {total:,} images could not be measured, all named above, so there is no average of "
            f"{', '.join(one.name for one in failed)}; the values of the others are in "
            f"{folder / comparison.file_name('.csv')}"
        )


def _report(evaluator: Evaluator, results: list[SetResult], folder: Path, triplets: bool) -> Iterator[str]:
    """Write and yield what was found; where images could not be measured, name them and give no average."""
    faults = [image.fault for result in results for image in result.images if image.fault is not None]
    aligned = any(metric["type"] in ALIGNED_METRICS for metric in evaluator.metrics.values())
    images = as_csv(results, list(evaluator.metrics), aligned, faults=bool(faults))
    if faults:
        for fault in faults:
            logger.error("%s", fault)
        name, total = file_name(evaluator, "_incomplete.csv"), sum(len(result.images) for result in results)
        message = f"{len(faults):,} of {total:,} images could not be measured, all named above, so there is no average"
        write_reports(folder, {name: images}, message)
        raise EvaluationError(f"{message}; the values of the others are in {folder / name}")
    report = evaluation_report(evaluator, results)
    table = report.as_markdown()
    yield table
    files = {".csv": images, ".json": report.as_json(), ".md": table}
    write_reports(
        folder, {file_name(evaluator, ending): text for ending, text in files.items()}, "the averages are printed"
    )
    if triplets:
        _write_triplets(evaluator, results, folder)


def _write_triplets(evaluator: Evaluator, results: list[SetResult], folder: Path) -> None:
    metric = next(name for name in evaluator.metrics if name not in evaluator.unavailable)
    folder = folder / file_name(evaluator, "_triplets")
    _make_folder(folder)
    for result in results:
        pairs = evaluator.restored(result.name)
        for case, measured in cases(result.images, metric).items():
            pair = pairs[measured.index]  # again, in place of keeping all images
            if pair.restored is None or pair.sharp is None:
                raise EvaluationError(f"{pair.fault}; it was read before")
            degraded = pairs.image(pairs.dataset[measured.index]["lq"])
            label = f"restored, {metric} {measured.values[metric]:.4g}"
            images = {"input": degraded, label: pair.restored, "ground truth": pair.sharp}
            png = cv2.imencode(".png", sheet(f"{case}: {measured.name}", images))[1].tobytes()
            write_atomically(folder / f"{result.name}_{case}.png", png, "the table was")


def _make_folder(folder: Path) -> None:
    """Make a folder if need be, before hours are spent on what cannot be written.

    Raises:
        EvaluationError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"{folder}: cannot be made: {error.strerror}; choose another by --out") from error
    if not os.access(folder, os.W_OK):
        raise EvaluationError(f"{folder}: cannot be written to; choose another by --out")
