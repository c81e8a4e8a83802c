"""The backends of the selective scan: which there are, where each can serve, and which one is chosen.

The choice is, from the strongest to the weakest: the context manager :func:`scan_backend`, the environment variable
``DEEPRFTV2_SCAN_BACKEND``, the option file's key ``scan_backend``, and ``auto``: on CUDA the first of ``triton`` and
``mamba`` that can serve, on a CPU ``numba``; everywhere else, and where these cannot, ``torch``.

It holds for all threads, since what is recomputed in the backward pass runs in threads of autograd. Compiled code is
compiled anew when the context or the option changes; the environment variable is read when it is compiled.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.ops.scan.availability import (
    import_failure,
    numba_failure,
    triton_driver_failure,
    triton_is_interpreted,
)
from deeprftv2_arch.ops.scan.chunked import selective_scan_chunked
from deeprftv2_arch.ops.scan.mamba import MOST_STATES as MOST_STATES_MAMBA
from deeprftv2_arch.ops.scan.mamba import selective_scan_mamba
from deeprftv2_arch.ops.scan.numba_scan import selective_scan_numba
from deeprftv2_arch.ops.scan.reference import selective_scan_reference
from deeprftv2_arch.ops.scan.triton_scan import MOST_STATES as MOST_STATES_TRITON
from deeprftv2_arch.ops.scan.triton_scan import selective_scan_triton

AUTO = "auto"
ENVIRONMENT_VARIABLE = "DEEPRFTV2_SCAN_BACKEND"

Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, bool], Tensor]


@dataclass(frozen=True)
class Backend:
    """One way to compute the scan.

    Attributes:
        scan: The function; imports its package when it is called.
        why_not: Called with the type of a device, a dtype and a number of states; says why tensors like these cannot be
            scanned here, or returns None if they can.
        distribution: The package that brings the kernels.
    """

    scan: Scan
    why_not: Callable[[str, torch.dtype, int], str | None]
    distribution: str


def _why_not_mamba(device: str, dtype: torch.dtype, states: int) -> str | None:
    failure = import_failure("mamba_ssm", "mamba_ssm.ops.selective_scan_interface")
    if failure is None and device != "cuda":
        return "it needs a CUDA device"
    return failure or _why_not_on_these(dtype, states, MOST_STATES_MAMBA)


def _why_not_triton(device: str, dtype: torch.dtype, states: int) -> str | None:
    failure = import_failure("triton", "deeprftv2_arch.ops.scan.triton_kernels")
    if failure is None and not triton_is_interpreted():
        if device != "cuda":
            return "it needs a CUDA device (or TRITON_INTERPRET=1, for tests)"
        failure = triton_driver_failure()
    return failure or _why_not_on_these(dtype, states, MOST_STATES_TRITON)


def _why_not_numba(device: str, dtype: torch.dtype, states: int) -> str | None:
    failure = import_failure("numba", "numba")
    if failure is None and device != "cpu":
        return "it runs on the CPU alone"
    return failure or numba_failure(dtype)


def _why_not_on_these(dtype: torch.dtype, states: int, most_states: int) -> str | None:
    if dtype == torch.float64:
        return "it computes in float32, not in float64"
    return f"it takes at most {most_states} states, not {states}" if states > most_states else None


def _serves_everywhere(device: str, dtype: torch.dtype, states: int) -> str | None:
    return None


BACKENDS = {
    "mamba": Backend(selective_scan_mamba, _why_not_mamba, "mamba-ssm"),
    "triton": Backend(selective_scan_triton, _why_not_triton, "triton"),
    "numba": Backend(selective_scan_numba, _why_not_numba, "numba"),
    "torch": Backend(selective_scan_chunked, _serves_everywhere, "torch"),
    "reference": Backend(selective_scan_reference, _serves_everywhere, "torch"),
}


PREFERRED = {"cuda": ("triton", "mamba"), "cpu": ("numba",)}  # by the type of the device, best first


class Setting(NamedTuple):
    """What is chosen (the name of a backend or ``auto``), and where."""

    name: str
    source: str


class _Entry:
    """One with-block that is open, in whatever thread."""

    def __init__(self, name: str) -> None:
        self.name = name


_open: list[_Entry] = []  # the one that was opened last holds
_set_by_options = AUTO


@contextmanager
def scan_backend(name: str) -> Iterator[None]:
    """Run all selective scans of a with-block on one backend.

    A backward pass that computes the scan again, as that of the memory mode ``reversible``, belongs into the block too.

    Args:
        name: ``mamba``, ``triton``, ``numba``, ``torch``, ``reference``, or ``auto``.

    Raises:
        OptionError: The name is unknown.
    """
    entry = _Entry(_known("scan_backend", name))
    _open.append(entry)
    try:
        yield
    finally:
        _open.remove(entry)


def set_backend_of_options(name: str) -> None:
    """Choose a backend as an option file does, for the whole process.

    Args:
        name: As for :func:`scan_backend`.

    Raises:
        OptionError: The name is unknown.
    """
    global _set_by_options
    _set_by_options = _known("option scan_backend", name)


def current_setting() -> Setting:
    """Return the strongest setting.

    Raises:
        OptionError: The environment variable holds an unknown name.
    """
    if _open:
        return Setting(_open[-1].name, "scan_backend")
    variable = _environment_variable()
    if variable:
        source = f"environment variable {ENVIRONMENT_VARIABLE}"
        return Setting(_known(source, variable), source)
    if _set_by_options != AUTO:
        return Setting(_set_by_options, "option scan_backend")
    return Setting(AUTO, "nothing else is set")


def choose_backend(device: str, dtype: torch.dtype = torch.float32, states: int = 1) -> str:
    """Name of the backend that scans tensors of a device, dtype and number of states.

    Args:
        device: Type of the device, such as ``cuda``.
        dtype: Highest precision among the tensors.
        states: States per channel.

    Raises:
        OptionError: The backend that was chosen by name cannot serve here, or is unknown.
    """
    setting = current_setting()
    if setting.name != AUTO:
        reason = BACKENDS[setting.name].why_not(device, dtype, states)
        if reason is not None:
            raise OptionError(
                f"{setting.source}: the scan backend '{setting.name}' cannot run on {device}: {reason}; "
                "python -m deeprftv2_arch backends shows which can"
            )
        return setting.name
    for name in PREFERRED.get(device, ()):
        if BACKENDS[name].why_not(device, dtype, states) is None:
            return name
    return "torch"


@torch.compiler.assume_constant_result
def _environment_variable() -> str | None:
    return os.environ.get(ENVIRONMENT_VARIABLE)


def _known(source: str, name: str) -> str:
    if not isinstance(name, str) or (name != AUTO and name not in BACKENDS):
        raise OptionError(f"{source}: '{name}' is no scan backend; known are {', '.join((AUTO, *BACKENDS))}")
    return name
