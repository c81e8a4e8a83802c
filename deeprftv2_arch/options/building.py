"""From a section with a ``type`` to what it describes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from deeprftv2_arch.errors import OptionError, shortened
from deeprftv2_arch.networks.layers_bound import layers_bounded


def build_network(section: Mapping[str, Any], where: str, device: str = "cpu") -> nn.Module:
    """Build the network of a section such as ``network_g``.

    Args:
        section: The registered ``type`` and its arguments.
        where: File and section, for messages.
        device: Where its weights are made; on ``meta`` it has shapes but no weights, which takes neither memory nor
            random numbers.

    Raises:
        OptionError: The network refuses an argument.
    """
    with torch.device(device), layers_bounded():
        network: nn.Module = construct(ARCH_REGISTRY.get(section["type"]), section, where)
    return network


def construct(target: Callable[..., Any], section: Mapping[str, Any], where: str, *supplied: Any) -> Any:
    """Call a class or function with the arguments of a section, and say in one line what it refuses.

    Args:
        target: What the ``type`` of the section names.
        section: Its arguments, beside ``type``.
        where: File and section, for messages.
        supplied: Arguments before those.

    Raises:
        OptionError: It refuses an argument.
    """
    try:
        return target(*supplied, **arguments_in(section))
    except (AssertionError, OSError, RuntimeError, TypeError, ValueError) as error:  # OSError: weights to be fetched
        raise OptionError(f"{where}: {shortened(str(error), 300)}") from error
    except Exception as error:  # of whatever kind: a class of somebody's may not look at its arguments
        reason = f"{type(error).__name__}: {shortened(str(error), 300)}"
        raise OptionError(f"{where}: cannot be built of these arguments ({reason})") from error


def arguments_in(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a section holds beside ``type``."""
    return {key: value for key, value in section.items() if key != "type"}
