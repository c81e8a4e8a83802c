"""What ``python -m deeprftv2_arch backends`` shows: which scan backends there are here, and which one is chosen."""

import platform
from collections.abc import Sequence

import torch

from deeprftv2_arch import __version__
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.ops.scan.availability import installed_version
from deeprftv2_arch.ops.scan.backends import BACKENDS, choose_backend, current_setting


def backends_report() -> str:
    """Describe versions, the setting, every backend and what hinders it, and the choice for every device, in lines."""
    types = list(dict.fromkeys(device for _, device in reversed(_devices())))  # the best first
    backends = [("backend", "version", "available")]
    for name, backend in BACKENDS.items():
        reasons = [backend.why_not(device, torch.float32, 1) for device in types]
        reason = None if None in reasons else reasons[0]
        backends.append((name, installed_version(backend.distribution) or "-", f"no: {reason}" if reason else "yes"))
    devices = [("device", "chosen for float32 and half precision")]
    devices += [(label, _choice(device)) for label, device in _devices()]
    sections = [_versions(), f"setting: {_setting()}", _columns(backends), _columns(devices)]
    return "\n\n".join(sections)


def _versions() -> str:
    cuda = torch.version.cuda or "none"
    triton = installed_version("triton") or "none"
    python = platform.python_version()
    return f"deeprftv2_arch {__version__}, Python {python}, PyTorch {torch.__version__}, CUDA {cuda}, Triton {triton}"


def _setting() -> str:
    try:
        setting = current_setting()
    except OptionError as error:
        return str(error)
    return f"{setting.name} ({setting.source})"


def _devices() -> list[tuple[str, str]]:
    """Return the label and type of every device here."""
    devices = [("cpu", "cpu")]
    devices += [(f"cuda:{i} {torch.cuda.get_device_name(i)}", "cuda") for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append(("mps", "mps"))
    return devices


def _choice(device: str) -> str:
    try:
        return choose_backend(device)
    except OptionError as error:
        return f"error: {error}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
