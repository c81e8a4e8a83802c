"""A network, a protocol and test sets: what is restored and measured."""

from functools import partial

from torch import nn
from tqdm import tqdm

from deeprftv2_arch.checkpoints.recognition import name_of
from deeprftv2_arch.checkpoints.weights import Weights
from deeprftv2_arch.common.parallel import Map
from deeprftv2_arch.launch.processes import Process
from deeprftv2_arch.measuring.restored_pairs import RestoredPairs, measure
from deeprftv2_arch.measuring.test_sets import TestSets, parts_of
from deeprftv2_arch.metrics.protocols import Protocol
from deeprftv2_arch.metrics.results import ImageResult, SetResult
from deeprftv2_arch.models.validation import results_of_all, unavailable_anywhere
from deeprftv2_arch.options.sections import EvaluationOptions


class Evaluator:
    """What one process of an evaluation works with.

    Args:
        options: The options.
        process: This process.
        protocol: How to measure.
        network: The network, in eval mode.
        weights: Where its weights are from; None where it has none.
        sets: The test sets of its scale.

    Attributes:
        datasets: The test sets by their names.
        missing: Why others cannot be measured on, by their names.
        metrics: What is measured, as ``val: metrics`` of an option file.
        unavailable: Why a metric cannot be measured, by its name.
        tasks: How many images fall to this process.

    Raises:
        DataError: What the preparation of the data says of their parts is damaged.
    """

    def __init__(
        self,
        options: EvaluationOptions,
        process: Process,
        protocol: Protocol,
        network: nn.Module,
        weights: Weights | None,
        sets: TestSets,
    ) -> None:
        self.options = options
        self.process = process
        self.protocol = protocol
        self.network = network
        self.datasets = sets.found
        self.missing = sets.missing
        self.metrics = protocol.metric_sections(options.scale)
        self.weights = weights
        self.parts = {name: parts_of(dataset, protocol.parts) for name, dataset in sets.found.items()}
        self.tasks = sum(len(self._share(name)) for name in sets.found)
        self.unavailable = unavailable_anywhere(self.metrics)

    def _share(self, name: str) -> range:
        """Return the numbers of the images of a test set that fall to this process."""
        return range(self.process.rank, len(self.datasets[name]), self.process.world_size)

    @property
    def device(self) -> str:
        """Where the network restores."""
        return "cuda" if self.process.num_gpu > 0 else "cpu"

    def restored(self, name: str) -> RestoredPairs:
        """Return the images of a test set, restored when they are asked for."""
        return RestoredPairs(self.network, self.datasets[name], self.protocol.output)

    def measured(self, name: str, map_: Map) -> SetResult:
        """Restore and measure a test set, together with the other processes; each gets the result."""
        share = self._share(name)
        metrics = {key: metric for key, metric in self.metrics.items() if key not in self.unavailable}
        restored = self.restored(name)
        found: list[ImageResult] = list(
            tqdm(
                map_(partial(measure, metrics=metrics), (restored[index] for index in share)),
                desc=f"{name_of(self.network)} on {name}",
                total=len(share),
                unit="image",
                disable=self.process.rank != 0,
            )
        )
        return SetResult(name, results_of_all(found), self.protocol.published_images(name), self.parts[name])
