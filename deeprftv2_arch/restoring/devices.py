"""Where networks restore: the GPU if there is one, of whatever maker PyTorch knows, else the CPU."""

import re
from textwrap import shorten

import torch

from deeprftv2_arch.errors import OptionError

LONGEST_REASON = 60  # characters of PyTorch's, why a device cannot be used
_OPERATOR = re.compile(r"aten::\w+")


def find_device(name: torch.device | str | None) -> torch.device:
    """Return the device of a name; of None the GPU (``cuda``, or ``mps`` of Apple's processors) if there is one.

    Raises:
        OptionError: It cannot be used here.
    """
    wanted = name or _best()
    try:
        found = torch.empty(1, device=wanted).device
        if found.type == "meta":
            raise RuntimeError("it computes nothing")
        return found
    except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was built for a device
        reason = shorten(str(error), LONGEST_REASON, placeholder=" ...")
        raise OptionError(f"device: {wanted} cannot be used here ({reason}); choose cpu, cuda or mps") from error


def lacking_operator(error: NotImplementedError, device: torch.device) -> OptionError:
    """Return the error for people of an operator that PyTorch has for a CPU, and not for this device."""
    found = _OPERATOR.search(str(error))
    help_of_mps = ", or let the CPU compute that one: PYTORCH_ENABLE_MPS_FALLBACK=1" if device.type == "mps" else ""
    return OptionError(
        f"device: PyTorch has no {found[0] if found else 'such operator'} for {device.type}, which this network needs; "
        f"choose cpu{help_of_mps}"
    )


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
