"""How a restoring network is trained and validated within BasicSR."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.models.training_model import TrainingModel
from deeprftv2_arch.models.validating_model import ValidatingModel
from deeprftv2_arch.options.sections import ModelOptions, RestorationModelOptions


class RestorationModel(TrainingModel, ValidatingModel, ABC):
    """A model whose network is trained on pairs of images; how it compares them is left to the subclasses.

    The network returns its restored image. Options of the section ``train`` beyond those of
    :class:`TrainingModel`:

        losses             terms by name, each of LOSS_REGISTRY
    """

    options_type: type[ModelOptions] = RestorationModelOptions

    @abstractmethod
    def build_criterion(self, terms: dict[str, nn.Module]) -> nn.Module:
        """Build the loss.

        Args:
            terms: The option ``losses``: modules that compare (restored, ground truth), by name.

        Returns:
            A module that takes what :meth:`supervised_images` returns and the ground truth, and returns scalars by the
            names that the log gives them. Their sum is minimised.

        Raises:
            OptionError: An option has no meaning.
        """

    def init_training_settings(self) -> None:
        """Set up everything that training needs beside the network."""
        terms = build_terms(self.recipe.losses, "losses")
        if not terms:
            raise OptionError("train: losses: name at least one, such as l1: {type: L1Loss, loss_weight: 1.0}")
        self.criterion = self.build_criterion(terms).to(self.device)
        super().init_training_settings()
        self._check_batches = len(self.opt["datasets"]["train"].get("patch_stages") or ()) > 1

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch: ``lq`` (B, 3, H, W), ``gt``, ``lq_path``, and in training ``scheduled``."""
        super().feed_data(data)
        self.lq: Tensor = self.lq.contiguous(memory_format=self.memory_format)
        if self.is_train and self._check_batches and "scheduled" in data:
            self._check_batches = False
            if not torch.as_tensor(data["scheduled"]).all():
                get_root_logger().warning(
                    "BasicSR's own loop does not know patch_stages and stays in the first of them; "
                    "train with python -m deeprftv2_arch.train to go through all"
                )

    def batch_names(self) -> list[str]:
        """Return the paths of the degraded images."""
        return self.lq_paths

    def compute_losses(self) -> dict[str, Tensor]:
        """Restore the batch and compare it with the ground truth."""
        with self.precision.autocast():
            restored = self.supervised_images()
        return self.criterion(restored, self.gt)

    def supervised_images(self) -> Any:
        """Restore the batch, to what the loss compares with the ground truth: by default the restored images."""
        return self.net_g(self.lq)


def build_terms(losses: Mapping[str, Mapping[str, Any]] | None, key: str) -> dict[str, nn.Module]:
    """Build losses.

    Args:
        losses: Sections with a ``type`` of LOSS_REGISTRY, by name, if there are any.
        key: The option that they are from, such as ``losses``.

    Raises:
        OptionError: A loss does not exist or does not take its options.
    """
    terms = {}
    for name, options in (losses or {}).items():
        try:
            terms[name] = build_loss(dict(options))
        except (KeyError, TypeError) as error:
            raise OptionError(f"train: {key}: {name}: {error.args[0] if error.args else error}") from error
    return terms


def require_room_for_kernels(images: Tensor, kernel_size: int, paths: Sequence[str]) -> None:
    """Refuse images (B, 3, H, W) that are smaller than kernels.

    Raises:
        DataError: The images are too small; the message names them.
    """
    height, width = images.shape[2:]
    if min(height, width) < kernel_size:
        raise DataError(
            f"{', '.join(paths)}: {width}x{height} pixels are less than a kernel of {kernel_size}x{kernel_size}; take "
            "larger images or patches, or networks with a smaller kernel_size"
        )
