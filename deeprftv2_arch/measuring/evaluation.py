"""An evaluation from the option file to the report."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.errors import EvaluationError
from deeprftv2_arch.launch.processes import begin_process, only_run_in, process_group
from deeprftv2_arch.measuring.evaluated_network import Tiles, build_chosen_network, load_chosen_weights
from deeprftv2_arch.measuring.evaluation_report import as_csv, evaluation_report, file_name
from deeprftv2_arch.measuring.evaluator import Evaluator
from deeprftv2_arch.measuring.measuring_processes import default_workers, measuring_processes
from deeprftv2_arch.measuring.report import write_reports
from deeprftv2_arch.measuring.test_sets import open_test_sets
from deeprftv2_arch.measuring.triplets import cases, sheet
from deeprftv2_arch.metrics.aligned import ALIGNED_METRICS
from deeprftv2_arch.metrics.protocols import find_protocol
from deeprftv2_arch.metrics.results import SetResult
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.loading import load_options

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        arguments: The option file and how the process was started.
        protocol: Name of the protocol; None: the option file's.
        tiles: Size and overlap of the tiles, or ``whole``; None: as the option file says.
        partial: Whether test sets may have another number of images than the published ones.
        workers: Number of processes that measure; None: from the number of CPUs.
        triplets: Whether to save images of the best, the median and the worst case.
        out: Folder of the results; None: ``results/<name>/evaluation``.
    """

    arguments: Arguments
    protocol: str | None = None
    tiles: Tiles = None
    partial: bool = False
    workers: int | None = None
    triplets: bool = False
    out: Path | None = None


def evaluate(request: Request, root: Path) -> Iterator[str]:
    """Measure a network, and write down what was found; as one of several processes, its share.

    Args:
        request: What the user asked for.
        root: Folder that gets ``results/``.

    Yields:
        In the first process, the table.

    Raises:
        DeepRFTv2Error: Anything that the user can put right; in the first process, an :class:`EvaluationError` after
            everything else has been measured: some images could not be.
    """
    run = load_options(request.arguments, root, is_train=False, evaluates=True)
    named_by = "--protocol" if request.protocol else f"{request.arguments.opt}: protocol"
    protocol = find_protocol(request.protocol or run.options.protocol, named_by)
    process = begin_process(run, request.arguments.launcher)
    with process_group(process):
        datasets = open_test_sets(run, protocol, request.partial)
        network = build_chosen_network(run.options.network_g, request.tiles, process)
        weights = load_chosen_weights(network, run.options.path)
        evaluator = Evaluator(run.options, process, protocol, network, weights, datasets)
        folder = request.out or run.folder / "evaluation"
        if process.rank == 0:
            _make_folder(folder)
        workers = default_workers(evaluator.tasks) if request.workers is None else request.workers
        # A test of this name would put the whole folder aside.
        with only_run_in(run.folder if request.out is None else folder / "evaluation"):
            with measuring_processes(workers) as map_:
                results = [evaluator.measured(name, map_) for name in datasets]
            # Another process that ended with an error could make the launcher stop this one before it has written.
            if process.rank == 0:
                yield from _report(evaluator, results, folder, request.triplets)


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
