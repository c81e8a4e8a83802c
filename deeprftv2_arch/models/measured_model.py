"""BasicSR's SRModel in a test, measured as this project's models are."""

from pathlib import Path

from basicsr.utils import get_root_logger
from torch import nn

from deeprftv2_arch.checkpoints.weights import Weights, load_weights
from deeprftv2_arch.models.validating_model import ValidatingModel


class MeasuredSRModel(ValidatingModel):
    """Any network of BasicSR's in the same report: its values beside a baseline's, and where its weights are from.

    Attributes:
        weights: Where the weights are from.
    """

    weights: Weights | None = None

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load weights; see :func:`~deeprftv2_arch.checkpoints.weights.load_weights`."""
        self.weights = load_weights(self.get_bare_model(net), Path(load_path), param_key, strict, get_root_logger())
