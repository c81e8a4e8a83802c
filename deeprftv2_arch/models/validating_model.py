"""Validation on all processes at once, with the result of one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.utils import get_root_logger, tensor2img
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from deeprftv2_arch.common.images import ByteImage
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.metrics.metric_values import MetricSections, metric_values, needs_ground_truth
from deeprftv2_arch.metrics.results import ImageResult, SetResult, means
from deeprftv2_arch.models.concise_model import ConciseModel
from deeprftv2_arch.models.saved_images import save_image
from deeprftv2_arch.models.validation import image_name, in_eval_mode, results_of_all, unavailable_anywhere
from deeprftv2_arch.options.sections import ModelOptions
from deeprftv2_arch.options.validation import read_options

# Makes an image of the size (height, width) from the degraded one.
Baseline = Callable[[ByteImage, tuple[int, int]], ByteImage]


class ValidatingModel(ConciseModel):
    """BasicSR's model, with the images of a validation set shared out over all processes.

    Every process restores and measures every ``world_size``-th image. The values of all are then added up in the
    order of the images, so that the means do not depend on the number of processes, and every process knows them.

    Metrics that some process cannot measure, for want of a package or weights, are left out everywhere; that is found
    and logged when the model is built.

    Attributes:
        measuring: How to measure: the section ``val``.
        baseline: What to measure beside the network, by the same metrics; by default nothing.
        results: What the last validation on each data set measured, by the name of the data set.
        unavailable: Why a metric is left out, by its name in the options.
    """

    baseline: Baseline | None = None

    def __init__(self, opt: dict[str, Any]) -> None:
        self.measuring = read_options(ModelOptions, opt).val
        self.results: dict[str, SetResult] = {}
        self.unavailable = unavailable_anywhere(self.measuring.metrics or {})
        for name, reason in self.unavailable.items():
            get_root_logger().warning("val: metrics: %s is left out: %s", name, reason)
        super().__init__(opt)

    def test(self) -> None:
        """Restore ``self.lq`` (B, 3, H, W) to ``self.output``, with the average weights if there are any."""
        # The bare network: DistributedDataParallel would wait for processes whose share is one image smaller.
        net = self.net_g_ema if hasattr(self, "net_g_ema") else self.get_bare_model(self.net_g)
        with in_eval_mode(net), torch.no_grad():
            self.output = self.output_of(net)

    def output_of(self, net: nn.Module) -> Tensor:
        """Return what a network, in eval mode, makes of ``self.lq``."""
        return net.forward(self.lq)  # not compiled, which would take minutes for every new size

    def dist_validation(
        self, dataloader: DataLoader[Any], current_iter: int | str, tb_logger: Any, save_img: bool
    ) -> None:
        """Validate as one of several processes."""
        self.nondist_validation(dataloader, current_iter, tb_logger, save_img)

    def nondist_validation(
        self, dataloader: DataLoader[Any], current_iter: int | str, tb_logger: Any, save_img: bool
    ) -> None:
        """Restore, save and measure the images of this process; log the means over all processes.

        Args:
            dataloader: Its data set and how it batches; images are read one by one.
            current_iter: Number of the iteration; in tests, the name of the run.
            tb_logger: TensorBoard's writer, or None.
            save_img: Whether to save the restored images.
        """
        dataset: Any = dataloader.dataset
        name = dataset.opt["name"]
        asked = self.measuring.metrics or {}
        metrics = {metric: dict(section) for metric, section in asked.items() if metric not in self.unavailable}
        if len(dataset) and not hasattr(dataset, "gt") and "gt" not in dataset[0]:
            metrics = self._without_ground_truth(name, metrics)
        share = range(self.opt["rank"], len(dataset), self.opt["world_size"])
        hidden = self.opt["rank"] != 0 or not self.measuring.pbar
        found = []
        for index in tqdm(share, desc=f"Validating {name}", unit="image", disable=hidden):
            self.feed_data(dataloader.collate_fn([dataset[index]]))
            self.test()
            images = self._take_images()
            if tb_logger and index == 0:
                show_images(tb_logger, name, images["network"], current_iter)
            if save_img:
                save_image(self._save_path(dataset, current_iter), images["network"]["img"])
            found.append(self._measure(index, images, metrics))
        if metrics:
            self.results[name] = SetResult(name, results_of_all(found))
            self.metric_results = means(self.results[name].images, metrics)
            self._initialize_best_metric_results(name)
            for metric, value in self.metric_results.items():
                self._update_best_metric_result(name, metric, value, current_iter)
            self._log_validation_metric_values(current_iter, name, tb_logger)

    def _without_ground_truth(self, name: str, metrics: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the metrics that need no ground truth, and say which ones of a data set are left out."""
        left_out = [metric for metric, section in metrics.items() if needs_ground_truth(section)]
        if left_out:
            get_root_logger().warning("%s has no ground truth: %s is not measured on it", name, ", ".join(left_out))
        return {metric: section for metric, section in metrics.items() if metric not in left_out}

    def _take_images(self) -> dict[str, dict[str, ByteImage]]:
        """Return what the metrics compare, (H, W, 3) BGR of 8 bits, and let go of the tensors.

        Returns:
            For ``network`` and, if there is one, ``baseline``: ``img`` and, where it is known, the ground truth
            ``img2``.
        """
        visuals = self.get_current_visuals()
        restored = {"network": tensor2img([visuals["result"]])}
        if self.baseline is not None:
            restored["baseline"] = self.baseline(tensor2img([visuals["lq"]]), restored["network"].shape[:2])
        known = {}
        if "gt" in visuals:
            known["img2"] = tensor2img([visuals["gt"]])
            del self.gt
        del self.lq, self.output
        return {row: {"img": image, **known} for row, image in restored.items()}

    def _measure(self, index: int, images: Mapping[str, dict[str, ByteImage]], metrics: MetricSections) -> ImageResult:
        """Measure the current image, and the baseline if there is one; see :meth:`_take_images`.

        Raises:
            DataError: A metric has no value, as where an image is too small for it.
        """
        try:
            found = {row: metric_values(compared, metrics) for row, compared in images.items()}
        except DataError as error:
            raise DataError(f"{self.lq_paths[0]}: {error}") from error
        return ImageResult(
            index,
            self.lq_paths[0] if self.lq_paths else str(index),
            found["network"].values,
            found["baseline"].values if "baseline" in found else None,
            found["network"].alignment_failed,
        )

    def _save_path(self, dataset: Any, current_iter: int | str) -> Path:
        """Return where BasicSR would save the current image, in sub-folders as the data set has them."""
        name = Path(image_name(self.lq_paths[0], dataset.opt.get("dataroot_lq")))
        folder = Path(self.opt["path"]["visualization"])
        if self.opt["is_train"]:
            return folder / name / f"{name.name}_{current_iter}.png"
        suffix = self.measuring.suffix or self.opt["name"]
        return folder / str(dataset.opt["name"]) / name.parent / f"{name.name}_{suffix}.png"

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch: ``lq`` and ``gt`` (B, 3, H, W), and ``lq_path``."""
        self.__dict__.pop("gt", None)  # of the batch before, which an image without ground truth would be compared with
        super().feed_data(data)
        self.lq_paths = list(data.get("lq_path", ()))


def show_images(tb_logger: Any, name: str, images: Mapping[str, ByteImage], current_iter: int | str) -> None:
    """Write a sample picture to TensorBoard: the restored image and, where it is known, the ground truth beside it.

    Args:
        tb_logger: TensorBoard's writer.
        name: Of the data set.
        images: ``img`` and ``img2``, (H, W, 3) BGR.
        current_iter: Number of the iteration.
    """
    restored = images["img"]
    beside = [image for image in images.values() if image.shape == restored.shape]
    tb_logger.add_image(f"images/{name}", np.hstack(beside)[..., ::-1], current_iter, dataformats="HWC")
