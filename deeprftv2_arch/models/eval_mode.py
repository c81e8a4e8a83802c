"""Networks in eval mode for as long as they are measured."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Put a network in eval mode within a with-block, and back into the mode that it had."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
