"""An evaluation from the option file to the report."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from deeprftv2_arch.checkpoints.variant import describe
from deeprftv2_arch.data.picture_pair_dataset import PicturePairDataset
from deeprftv2_arch.errors import EvaluationError
from deeprftv2_arch.evaluation.measuring import ALIGNED, Measured, measure
from deeprftv2_arch.evaluation.output_folder import make_folder, write_png
from deeprftv2_arch.evaluation.protocols import Protocol, find_protocol
from deeprftv2_arch.evaluation.report import as_csv, as_markdown, averages
from deeprftv2_arch.evaluation.restoring import Restorer, Tiles, build_network
from deeprftv2_arch.evaluation.results import SetResult
from deeprftv2_arch.evaluation.sharing import Map, default_workers, worker_processes
from deeprftv2_arch.evaluation.test_sets import open_test_sets, parts_of
from deeprftv2_arch.evaluation.triplets import cases, sheet
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.distributed import complete_for_process, process_group
from deeprftv2_arch.launch.options import Options, load_options
from deeprftv2_arch.launch.provenance import Weights, how_restored, versions
from deeprftv2_arch.launch.report_files import as_json, write_reports
from deeprftv2_arch.metrics.availability import unavailable_metrics
from deeprftv2_arch.models.collectives import gathered

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        arguments: The option file and how the process was started.
        protocol: Name of the protocol; None: the option file's.
        tiles: Size and overlap of the tiles, or ``whole``; None: as the option file says.
        partial: Whether test sets may have another number of pictures than the published ones.
        workers: Number of processes that measure; None: from the number of CPUs.
        triplets: Whether to save pictures of the best, the median and the worst case.
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
        DeepRFTv2Error: Anything that the user can put right. An :class:`EvaluationError` after everything has been
            measured: some pictures could not be.
    """
    opt = load_options(request.arguments, root, is_train=False)
    named_by = "--protocol" if request.protocol else f"{request.arguments.opt}: protocol"
    protocol = find_protocol(request.protocol or opt.get("protocol"), named_by)
    process = complete_for_process(opt, request.arguments)
    with process_group(process, use_gpu=opt["num_gpu"] > 0):
        datasets = open_test_sets(opt, protocol, request.partial)
        evaluation = Evaluation(opt, protocol, build_network(opt, request.tiles), datasets)
        folder = request.out or Path(opt["path"]["results_root"]) / "evaluation"
        if opt["rank"] == 0:
            make_folder(folder)
        tasks = sum(len(evaluation.share(dataset)) for dataset in datasets.values())
        workers = default_workers(tasks) if request.workers is None else request.workers
        with worker_processes(workers) as map_:
            results = [evaluation.measured(name, map_) for name in datasets]
        if opt["rank"] == 0:
            yield from _report(evaluation, results, folder, request.triplets)
        faults = sum(picture.fault is not None for result in results for picture in result.pictures)
        if faults:
            total = sum(len(result.pictures) for result in results)
            raise EvaluationError(
                f"{faults:,} of {total:,} pictures could not be measured, all named above, so there is no average; "
                f"the figures of the others are in {folder / evaluation.file_name('_incomplete.csv')}"
            )


class Evaluation:
    """A network, a protocol and the test sets.

    Args:
        opt: The options.
        protocol: How to measure.
        network: The network, in eval mode.
        datasets: The test sets by their names.
    """

    def __init__(
        self, opt: Options, protocol: Protocol, network: nn.Module, datasets: Mapping[str, PicturePairDataset]
    ) -> None:
        self.opt = opt
        self.protocol = protocol
        self.network = network
        self.datasets = datasets
        self.metrics = protocol.metrics(opt.get("scale", 1))
        # Now, because a training may replace the file while the network is measured.
        self.weights = Weights.of(opt["path"]) if opt["path"].get("pretrain_network_g") else None
        found = gathered(unavailable_metrics(self.metrics))
        self.unavailable = {name: reason for part in found for name, reason in part.items()}
        if opt["rank"] == 0:
            for name, reason in self.unavailable.items():
                logger.warning("%s will not be measured: %s", name, reason)

    def share(self, dataset: PicturePairDataset) -> range:
        """Return the numbers of the pictures that fall to this process."""
        return range(self.opt["rank"], len(dataset), self.opt["world_size"])

    def restorer(self, name: str) -> Restorer:
        """Return what restores the pictures of a test set."""
        return Restorer(self.network, self.datasets[name], self.protocol.output)

    def measured(self, name: str, map_: Map) -> SetResult:
        """Restore and measure a test set, together with the other processes; each gets the result."""
        dataset = self.datasets[name]
        share = self.share(dataset)
        metrics = {name: metric for name, metric in self.metrics.items() if name not in self.unavailable}
        pairs = map(self.restorer(name).restore, share)
        found: list[Measured] = list(
            tqdm(
                map_(partial(measure, metrics=metrics), pairs),
                desc=f"Evaluating {name}",
                total=len(share),
                unit="image",
                disable=self.opt["rank"] != 0,
            )
        )
        pictures = sorted((picture for part in gathered(found) for picture in part), key=lambda picture: picture.index)
        parts = parts_of(dataset, self.protocol.parts)
        return SetResult(name, self.protocol.published_pictures(name), pictures, parts)

    def file_name(self, ending: str) -> str:
        """Return the name of a file of results, which differs where figures cannot be compared."""
        tile = getattr(self.network, "tile", None)
        tiles = "whole" if tile is None else f"tiled_{tile}_{self.network.tile_overlap}"
        complete = all(len(data) == self.protocol.published_pictures(name) for name, data in self.datasets.items())
        return f"{self.protocol.name}_{tiles}{'' if complete else '_partial'}{ending}"

    def content(self, results: list[SetResult]) -> dict[str, Any]:
        """Return everything that the report says."""
        # The published figures are those of the protocol that the file names, if any.
        comparable = self.opt.get("protocol") in (None, self.protocol.name)
        published = (self.opt.get("published") if comparable else None) or {}
        return {
            "name": self.opt["name"],
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "protocol": {"name": self.protocol.name, "output": self.protocol.output},
            "sets": averages(results, list(self.metrics), published),
            "published_by": published.get("name"),
            "metrics": self.metrics,
            "unavailable": self.unavailable,
            "restored": how_restored(self.network, self.opt["network_g"]),
            "network": {
                "type": self.opt["network_g"]["type"],
                "variant": describe(self.network.state_dict()) if self.weights else "has no weights",
                "arguments": {key: value for key, value in self.opt["network_g"].items() if key != "type"},
            },
            "data": {
                name: {
                    key: str(data.opt[key]) for key in ("dataroot_lq", "dataroot_gt", "bit_depth") if key in data.opt
                }
                for name, data in self.datasets.items()
            },
            "weights": vars(self.weights) if self.weights else None,
            "versions": versions(),
        }


def _report(evaluation: Evaluation, results: list[SetResult], folder: Path, triplets: bool) -> Iterator[str]:
    """Write and yield what was found; without an average where pictures are missing from it."""
    faults = [picture.fault for result in results for picture in result.pictures if picture.fault is not None]
    aligned = any(metric["type"] in ALIGNED for metric in evaluation.metrics.values())
    pictures = as_csv(results, list(evaluation.metrics), aligned, faults=bool(faults))
    if faults:
        for fault in faults:
            logger.error("%s", fault)
        write_reports(folder, {evaluation.file_name("_incomplete.csv"): pictures}, "nothing was written")
        return
    content = evaluation.content(results)
    table = as_markdown(content)
    yield table
    reports = {".csv": pictures, ".json": as_json(content), ".md": table}
    write_reports(
        folder, {evaluation.file_name(ending): text for ending, text in reports.items()}, "the averages are printed"
    )
    if triplets:
        _write_triplets(evaluation, results, folder)


def _write_triplets(evaluation: Evaluation, results: list[SetResult], folder: Path) -> None:
    figure = next(name for name in evaluation.metrics if name not in evaluation.unavailable)
    folder = folder / evaluation.file_name("_triplets")
    make_folder(folder)
    for result in results:
        restorer = evaluation.restorer(result.name)
        for case, measured in cases(result.pictures, figure).items():
            pair = restorer.restore(measured.index)  # again, in place of keeping all pictures
            if pair.restored is None or pair.sharp is None:
                raise EvaluationError(f"{pair.fault}; it was read before")
            degraded = restorer.picture(restorer.dataset[measured.index]["lq"])
            label = f"restored, {figure} {measured.figures[figure]:.4g}"
            pictures = {"input": degraded, label: pair.restored, "ground truth": pair.sharp}
            write_png(folder / f"{result.name}_{case}.png", sheet(f"{case}: {measured.name}", pictures))
