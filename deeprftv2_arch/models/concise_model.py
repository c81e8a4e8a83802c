"""BasicSR's model with a log that people read."""

from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from torch import nn


class ConciseModel(SRModel):
    """BasicSR's model, with one line about a network in the log."""

    def print_network(self, net: nn.Module) -> None:
        """Log a line about a network, in place of BasicSR's tree of its modules."""
        bare = self.get_bare_model(net)
        count = sum(parameter.numel() for parameter in bare.parameters())
        get_root_logger().info("Network: %s, with parameters: %s", type(bare).__name__, f"{count:,}")
