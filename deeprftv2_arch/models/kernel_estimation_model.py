"""How a kernel estimator is trained within BasicSR: the second stage of UFPNet."""

from typing import Any

import torch
from basicsr.archs import build_network
from torch import Tensor, nn

from deeprftv2_arch.checkpoints.stages import load_stages
from deeprftv2_arch.layers.kernel_field import decode_kernel_field, estimate_kernel_field
from deeprftv2_arch.losses.criteria import KernelEstimationLoss
from deeprftv2_arch.models.restoration_model import RestorationModel, build_terms, require_room_for_kernels
from deeprftv2_arch.ops.reblur import reblur
from deeprftv2_arch.options.sections import KernelEstimationModelOptions


class KernelEstimationModel(RestorationModel):
    """Self-supervised kernel estimation: the kernels are right if they turn the sharp image into the blurred one.

    ``network_g`` is the estimator; ``network_flow``, which decodes its codes, stays as the first stage has left it and
    is not saved with the run. Training draws codes; validation takes the mean ones and so no random numbers, and
    measures the sharp images, blurred again, against the blurred images. Options beyond those of
    :class:`RestorationModel`:

        network_flow                 {type: KernelFlow, ...}
        path: pretrain_network_flow  what the first stage has made of it
        train: kernel_losses         terms by name that compare the kernels with those that the pair of images tells
        train: kernel_stride         n: of n rows and columns the kernel of one pixel, another one in every step, is
                                     decoded and blurs all pixels between. Decoding is most of the work; and what a
                                     pixel's kernel does not show at the pixel itself it shows around.
    """

    options_type = KernelEstimationModelOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        self.net_flow = build_network(self.opt["network_flow"]).to(self.device).eval().requires_grad_(False)
        load_stages({"pretrain_network_flow": self.net_flow}, self.opt["path"])

    def build_criterion(self, terms: dict[str, nn.Module]) -> nn.Module:
        """Build the loss of kernels; see :class:`KernelEstimationLoss`."""
        return KernelEstimationLoss(terms, build_terms(self.recipe.kernel_losses, "kernel_losses"))

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch: ``lq``, ``gt`` (B, 3, H, W), ``lq_path``, and in training ``scheduled``.

        Raises:
            DataError: The images are smaller than the kernels.
        """
        super().feed_data(data)
        require_room_for_kernels(self.lq, self.net_flow.kernel_size, self.lq_paths)

    def compute_losses(self) -> dict[str, Tensor]:
        """Estimate the kernels of the batch and blur its sharp images with them."""
        with self.precision.autocast():
            mean, sigma = self.net_g(self.lq)
            stride = self.recipe.kernel_stride
            row, column = torch.randint(stride, (2,)).tolist() if stride > 1 else (0, 0)
            mean, sigma = (codes[:, :, row::stride, column::stride] for codes in (mean, sigma))
            kernels = decode_kernel_field(self.net_flow, mean, sigma)
        return self.criterion(self.gt, kernels, self.lq)

    def output_of(self, net: nn.Module) -> Tensor:
        """Return the sharp images, blurred with the kernels of the mean codes."""
        return reblur(self.gt, estimate_kernel_field(net, self.net_flow, self.lq, mean_code=True))

    def get_current_visuals(self) -> dict[str, Tensor]:
        """Return what is compared: the sharp images as they are (``lq``) and blurred again, with the blurred ones."""
        return {"lq": self.gt.cpu(), "result": self.output.cpu(), "gt": self.lq.cpu()}
