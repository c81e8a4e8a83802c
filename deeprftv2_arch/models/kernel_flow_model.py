"""How UFPNet's prior of motion kernels is trained within BasicSR: the first of its three stages."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from deeprftv2_arch.common.kernel_images import grey_kernel_sheet, sheets_side_by_side
from deeprftv2_arch.models.saved_images import save_image
from deeprftv2_arch.models.training_model import TrainingModel
from deeprftv2_arch.models.validation import in_eval_mode
from deeprftv2_arch.networks.kernel_flow import KernelFlow

SHOWN = 64  # kernels in each half of the image
MEASURED_AT_ONCE = 1000
SEED = 0  # of the noise in validation, so that equal weights have equal values


class KernelFlowModel(TrainingModel):
    """Maximum likelihood: the mean negative log-likelihood of simulated kernels is minimised.

    In validation it is that of held-out kernels, with the running statistics of the normalisation; lower is better.
    With ``val: save_img``, kernels drawn from the prior are saved as an image, beside held-out ones.

    Options of the section ``train`` are those of :class:`TrainingModel`.
    """

    sample_kind = "kernels"

    def __init__(self, opt: dict[str, Any]) -> None:
        # The one thing to measure, as BasicSR's bookkeeping of the best value expects it.
        super().__init__(opt | {"val": (opt.get("val") or {}) | {"metrics": {"nll": {"better": "lower"}}}})

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch: ``kernel`` (B, kernel_size**2), and ``number``."""
        self.kernels: Tensor = data["kernel"].to(self.device)
        self.numbers: Tensor = data["number"]

    def batch_names(self) -> list[str]:
        """Return the numbers of the kernels."""
        return [str(number) for number in self.numbers.tolist()]

    def compute_losses(self) -> dict[str, Tensor]:
        """Return the mean negative log-likelihood of the kernels, with fresh noise."""
        logits = self.get_bare_model(self.net_g).to_logits(self.kernels)
        with self.precision.autocast():
            return {"nll": self.net_g(logits).mean()}

    def dist_validation(
        self, dataloader: DataLoader[Any], current_iter: int | str, tb_logger: Any, save_img: bool
    ) -> None:
        """Validate as one of several processes; all find the same."""
        self.nondist_validation(dataloader, current_iter, tb_logger, save_img)

    def nondist_validation(
        self, dataloader: DataLoader[Any], current_iter: int | str, tb_logger: Any, save_img: bool
    ) -> None:
        """Measure the prior on all held-out kernels at once, and log it.

        Args:
            dataloader: Its data set is read.
            current_iter: Number of the iteration; in tests, the name of the run.
            tb_logger: TensorBoard's writer, or None.
            save_img: Whether to save an image of kernels drawn from the prior.
        """
        dataset: Any = dataloader.dataset
        name, held_out = dataset.opt["name"], dataset.pool(0).to(self.device)
        flow: KernelFlow = self.net_g_ema if hasattr(self, "net_g_ema") else self.get_bare_model(self.net_g)
        with in_eval_mode(flow):
            self.metric_results = {"nll": mean_nll(flow, held_out)}
            if save_img and self.opt["rank"] == 0:
                self._save_samples(flow, held_out, Path(name, f"samples_{current_iter}.png"))
        self._initialize_best_metric_results(name)
        self._update_best_metric_result(name, "nll", self.metric_results["nll"], current_iter)
        self._log_validation_metric_values(current_iter, name, tb_logger)

    def _save_samples(self, flow: KernelFlow, held_out: Tensor, path: Path) -> None:
        generator = torch.Generator(self.device).manual_seed(SEED)
        drawn = flow.sample(SHOWN, generator).cpu().numpy()
        simulated = held_out[:SHOWN].cpu().unflatten(1, drawn.shape[1:]).numpy()
        image = sheets_side_by_side([grey_kernel_sheet(drawn), grey_kernel_sheet(simulated)])
        save_image(Path(self.opt["path"]["visualization"]) / path, image)


@torch.no_grad()
def mean_nll(flow: KernelFlow, kernels: Tensor) -> float:
    """Return the mean negative log-likelihood of kernels (N, kernel_size**2) in nats, by a flow in eval mode.

    The noise that the logits hold is the same whenever it is called.
    """
    generator = torch.Generator(kernels.device).manual_seed(SEED)
    parts = [flow(flow.to_logits(part, generator)).double() for part in kernels.split(MEASURED_AT_ONCE)]
    return float(torch.cat(parts).mean())
