"""What a measurement was made on: device, cores, versions and date, as the lines that head every result file."""

import platform
from datetime import datetime, timezone
from pathlib import Path

import torch


def environment_lines(device: torch.device) -> list[str]:
    """Return the Markdown list items: the device, processor, PyTorch's threads, versions, and the date (UTC).

    Args:
        device: Where the measurement runs; a CUDA device is described with its memory and versions.
    """
    lines = []
    versions = [f"Python {platform.python_version()}", f"PyTorch {torch.__version__}"]
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        lines.append(
            f"- GPU: {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, compute capability {gpu.major}.{gpu.minor}"
        )
        versions += [f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}"]
    lines += [
        f"- Processor: {_processor()}; threads of PyTorch: {torch.get_num_threads()}",
        f"- Versions: {', '.join(versions)}; {platform.system()} {platform.machine()}",
        f"- Date: {datetime.now(timezone.utc):%Y-%m-%d}",
    ]
    return lines


def device_slug(device: torch.device) -> str:
    """Name the device for a file name: ``cpu``, or the GPU's name such as ``nvidia_h100_80gb_hbm3``."""
    if device.type != "cuda":
        return device.type
    return "_".join(torch.cuda.get_device_name(device).lower().replace("-", " ").split())


def _processor() -> str:
    """Return the model name that Linux gives, or the little that Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
