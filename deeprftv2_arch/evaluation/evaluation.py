"""A network, a protocol and test sets: what is restored, measured and said of it."""

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from torch import nn
from tqdm import tqdm

from deeprftv2_arch.checkpoints.variant import describe
from deeprftv2_arch.data.picture_pair_dataset import PicturePairDataset
from deeprftv2_arch.evaluation.measuring import Measured, measure
from deeprftv2_arch.evaluation.protocols import Protocol
from deeprftv2_arch.evaluation.report import averages
from deeprftv2_arch.evaluation.restoring import Restorer
from deeprftv2_arch.evaluation.results import SetResult
from deeprftv2_arch.evaluation.sharing import Map
from deeprftv2_arch.evaluation.test_sets import parts_of
from deeprftv2_arch.launch.options import Options
from deeprftv2_arch.launch.provenance import Weights, how_restored, versions
from deeprftv2_arch.metrics.availability import unavailable_metrics
from deeprftv2_arch.models.collectives import gathered

logger = logging.getLogger(__name__)


class Evaluation:
    """What one process of an evaluation works with. Figures that cannot be had are said when it is made.

    Args:
        opt: The options.
        protocol: How to measure.
        network: The network, in eval mode.
        weights: Where its weights are from; None where it has none.
        datasets: The test sets by their names.

    Attributes:
        metrics: What is measured, as ``val: metrics`` of an option file.
        unavailable: Why a metric cannot be measured, by its name.
        tasks: How many pictures fall to this process.

    Raises:
        DataError: What the preparation of the data says of their parts is damaged.
    """

    def __init__(
        self,
        opt: Options,
        protocol: Protocol,
        network: nn.Module,
        weights: Weights | None,
        datasets: Mapping[str, PicturePairDataset],
    ) -> None:
        self.opt = opt
        self.protocol = protocol
        self.network = network
        self.datasets = datasets
        self.metrics = protocol.metrics(opt.get("scale", 1))
        self.weights = weights
        self.parts = {name: parts_of(dataset, protocol.parts) for name, dataset in datasets.items()}
        self.tasks = sum(len(self._share(name)) for name in datasets)
        found = gathered(unavailable_metrics(self.metrics))
        self.unavailable = {name: reason for part in found for name, reason in part.items()}
        if opt["rank"] == 0:
            for name, reason in self.unavailable.items():
                logger.warning("%s will not be measured: %s", name, reason)

    def _share(self, name: str) -> range:
        """Return the numbers of the pictures of a test set that fall to this process."""
        return range(self.opt["rank"], len(self.datasets[name]), self.opt["world_size"])

    def restorer(self, name: str) -> Restorer:
        """Return what restores the pictures of a test set."""
        return Restorer(self.network, self.datasets[name], self.protocol.output)

    def measured(self, name: str, map_: Map) -> SetResult:
        """Restore and measure a test set, together with the other processes; each gets the result."""
        share = self._share(name)
        metrics = {key: metric for key, metric in self.metrics.items() if key not in self.unavailable}
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
        return SetResult(name, self.protocol.published_pictures(name), pictures, self.parts[name])

    def file_name(self, ending: str) -> str:
        """Return the name of a file of results: by protocol and tiles, and whether test sets are the published ones."""
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
