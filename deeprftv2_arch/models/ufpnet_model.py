"""How a network that deblurs with estimated kernels is trained within BasicSR: the third stage of UFPNet."""

from typing import Any

import torch
from torch import Tensor, nn

from deeprftv2_arch.checkpoints.stages import load_stages, stages_of
from deeprftv2_arch.losses.criteria import KernelGuidedLoss
from deeprftv2_arch.models.restoration_model import RestorationModel, build_terms, require_room_for_kernels
from deeprftv2_arch.options.sections import UFPNetModelOptions


class UFPNetModel(RestorationModel):
    """The recipe of UFPNet, for every network that is guided by kernels.

    Its estimator and its flow come from the stages before, are frozen, and are no part of what the optimiser decays;
    they are saved with the network. Options beyond those of :class:`RestorationModel`:

        train: reblur_losses           terms by name that compare the restored images, blurred again, with the blurred
                                       ones; absent: none
        path: pretrain_network_kernel  the kernel estimator, from the second stage
        path: pretrain_network_flow    the flow, from the first one

    The last two are not needed where ``pretrain_network_g`` is a whole network, or a training is resumed.
    """

    options_type = UFPNetModelOptions

    def init_training_settings(self) -> None:
        """Set up everything that training needs beside the network, and give it what comes from the stages before."""
        if self.options.path.pretrain_network_g is None:
            load_stages(stages_of(self.get_bare_model(self.net_g)), self.opt["path"])
        super().init_training_settings()

    def build_criterion(self, terms: dict[str, nn.Module]) -> nn.Module:
        """Build the loss of restoring and of blurring again; see :class:`KernelGuidedLoss`."""
        return KernelGuidedLoss(terms, build_terms(self.recipe.reblur_losses, "reblur_losses"))

    def setup_optimizers(self) -> None:
        """Build the optimiser of what is not frozen."""
        options = dict(self.recipe.optim_g)
        trained = [parameter for parameter in self.net_g.parameters() if parameter.requires_grad]
        self.optimizer_g = self.get_optimizer(options.pop("type"), trained, **options)
        self.optimizers.append(self.optimizer_g)

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch: ``lq``, ``gt`` (B, 3, H, W), ``lq_path``, and in training ``scheduled``.

        Raises:
            DataError: The images are smaller than the kernels.
        """
        super().feed_data(data)
        require_room_for_kernels(self.lq, self.get_bare_model(self.net_g).flow.kernel_size, self.lq_paths)

    def compute_losses(self) -> dict[str, Tensor]:
        """Restore the batch, and compare it with the sharp images and, blurred again, with the blurred ones."""
        with self.precision.autocast():
            restored = self.net_g(self.lq, supervise=True)
        return self.criterion(restored, self.gt, self.lq)

    def output_of(self, net: nn.Module) -> Tensor:
        """Restore with codes drawn from the network's seed or, if it has none, from that of the run.

        The generator of the training stays as it is.
        """
        seed: Any = net.seed
        if seed is None:
            seed = self.options.manual_seed
        return net.forward(self.lq, generator=torch.Generator(self.device).manual_seed(seed))
