"""A bound on what is built: an option file, or the names in a checkpoint, may ask for a network without end."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from deeprftv2_arch.errors import OptionError

MOST_LAYERS = 20_000  # modules in modules; ten times those of DeepRFTv2, and a matter of seconds


@contextmanager
def layers_bounded() -> Iterator[None]:
    """Build no more than ``MOST_LAYERS`` within a with-block.

    Raises:
        OptionError: There would be more.
    """
    built = 0

    def count(module: nn.Module, name: str, layer: nn.Module | None) -> None:
        nonlocal built
        built += 1
        if built > MOST_LAYERS:
            raise OptionError(f"this network would have more than {MOST_LAYERS:,} layers; correct its numbers")

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
