"""An evaluation from the option file to the report."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deeprftv2_arch.errors import EvaluationError
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.processes import complete_for_process, process_group
from deeprftv2_arch.measuring.evaluation_report import as_csv, as_markdown, file_name, report_content
from deeprftv2_arch.measuring.evaluator import Evaluator
from deeprftv2_arch.measuring.output_folder import make_folder, write_png
from deeprftv2_arch.measuring.report_parts import as_json, write_reports
from deeprftv2_arch.measuring.restoring import Tiles, build_network, load_chosen_weights
from deeprftv2_arch.measuring.results import SetResult
from deeprftv2_arch.measuring.sharing import default_workers, measuring_processes
from deeprftv2_arch.measuring.test_sets import open_test_sets
from deeprftv2_arch.measuring.triplets import cases, sheet
from deeprftv2_arch.metrics.aligned import ALIGNED_METRICS
from deeprftv2_arch.metrics.protocols import find_protocol
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
    opt = load_options(request.arguments, root, is_train=False, evaluates=True)
    named_by = "--protocol" if request.protocol else f"{request.arguments.opt}: protocol"
    protocol = find_protocol(request.protocol or opt.get("protocol"), named_by)
    process = complete_for_process(opt, request.arguments)
    with process_group(process, use_gpu=opt["num_gpu"] > 0):
        datasets = open_test_sets(opt, protocol, request.partial)
        network = build_network(opt, request.tiles)
        evaluator = Evaluator(opt, protocol, network, load_chosen_weights(network, opt["path"]), datasets)
        folder = request.out or Path(opt["path"]["results_root"]) / "evaluation"
        if opt["rank"] == 0:
            make_folder(folder)
        workers = default_workers(evaluator.tasks) if request.workers is None else request.workers
        with measuring_processes(workers) as map_:
            results = [evaluator.measured(name, map_) for name in datasets]
        # Another process that ended with an error could make the launcher stop this one before it has written.
        if opt["rank"] == 0:
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
        message = (
            f"{len(faults):,} of {total:,} images could not be measured, all named above, so there is no average"
        )
        write_reports(folder, {name: images}, message)
        raise EvaluationError(f"{message}; the figures of the others are in {folder / name}")
    content = report_content(evaluator, results)
    table = as_markdown(content)
    yield table
    reports = {".csv": images, ".json": as_json(content), ".md": table}
    write_reports(
        folder, {file_name(evaluator, ending): text for ending, text in reports.items()}, "the averages are printed"
    )
    if triplets:
        _write_triplets(evaluator, results, folder)


def _write_triplets(evaluator: Evaluator, results: list[SetResult], folder: Path) -> None:
    figure = next(name for name in evaluator.metrics if name not in evaluator.unavailable)
    folder = folder / file_name(evaluator, "_triplets")
    make_folder(folder)
    for result in results:
        restorer = evaluator.restorer(result.name)
        for case, measured in cases(result.images, figure).items():
            pair = restorer.restore(measured.index)  # again, in place of keeping all images
            if pair.restored is None or pair.sharp is None:
                raise EvaluationError(f"{pair.fault}; it was read before")
            degraded = restorer.image(restorer.dataset[measured.index]["lq"])
            label = f"restored, {figure} {measured.figures[figure]:.4g}"
            images = {"input": degraded, label: pair.restored, "ground truth": pair.sharp}
            write_png(folder / f"{result.name}_{case}.png", sheet(f"{case}: {measured.name}", images))
