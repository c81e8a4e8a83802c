"""How a kernel estimator is trained within BasicSR: the second stage of UFPNet."""

from typing import Any

from basicsr.archs import build_network
from torch import Tensor, nn

from deeprftv2_arch.checkpoints.stages import load_stages
from deeprftv2_arch.layers.kernel_field import estimate_kernel_field
from deeprftv2_arch.losses.criteria import ReblurLoss
from deeprftv2_arch.models.restoration_model import RestorationModel, require_room_for_kernels
from deeprftv2_arch.ops.reblur import reblur


class KernelEstimationModel(RestorationModel):
    """Self-supervised kernel estimation: the kernels are right if they turn the sharp image into the blurred one.

    ``network_g`` is the estimator; ``network_flow``, which decodes its codes, stays as the first stage has left it and
    is not saved with the run. Training draws codes; validation takes the mean ones and so no random numbers, and
    measures the sharp images, blurred again, against the blurred images. Options beyond those of
    :class:`RestorationModel`:

        network_flow                 {type: KernelFlow, ...}
        path: pretrain_network_flow  what the first stage has made of it
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        self.net_flow = build_network(self.opt["network_flow"]).to(self.device).eval().requires_grad_(False)
        load_stages({"pretrain_network_flow": self.net_flow}, self.opt["path"])

    def build_criterion(self, terms: dict[str, nn.Module]) -> nn.Module:
        """Build the loss of blurring again; see :class:`ReblurLoss`."""
        return ReblurLoss(terms)

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
            field = estimate_kernel_field(self.net_g, self.net_flow, self.lq)
        return self.criterion(self.gt, field, self.lq)

    def output_of(self, net: nn.Module) -> Tensor:
        """Return the sharp images, blurred with the kernels of the mean codes."""
        return reblur(self.gt, estimate_kernel_field(net, self.net_flow, self.lq, mean_code=True))

    def get_current_visuals(self) -> dict[str, Tensor]:
        """Return what is compared: the sharp images as they are (``lq``) and blurred again, with the blurred ones."""
        return {"lq": self.gt.cpu(), "result": self.output.cpu(), "gt": self.lq.cpu()}
