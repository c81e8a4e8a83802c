"""What the trained network does to the held-out photographs: a table and a comparison picture for each."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


@dataclass(frozen=True)
class Result:
    """One held-out photograph. PSNR in dB and SSIM against the sharp photograph, on RGB of 8 bits.

    SSIM has Gaussian windows of sigma 1.5 and population covariances, as in its paper. Seconds are those of the
    network alone.
    """

    photograph: str
    blurred_psnr: float
    restored_psnr: float
    blurred_ssim: float
    restored_ssim: float
    seconds: float

    @property
    def gain(self) -> float:
        """What restoring adds to the PSNR, in dB."""
        return self.restored_psnr - self.blurred_psnr


def ssim(image: np.ndarray, sharp: np.ndarray) -> float:
    """Structural similarity of two (H, W, 3) uint8 pictures, mean over the channels."""
    return float(
        structural_similarity(sharp, image, channel_axis=2, gaussian_weights=True, use_sample_covariance=False)
    )


def measure(photograph: str, blurred: np.ndarray, restored: np.ndarray, sharp: np.ndarray, seconds: float) -> Result:
    """The figures of one photograph from its three versions, each (H, W, 3) uint8 RGB."""
    return Result(
        photograph=photograph,
        blurred_psnr=float(peak_signal_noise_ratio(sharp, blurred)),
        restored_psnr=float(peak_signal_noise_ratio(sharp, restored)),
        blurred_ssim=ssim(blurred, sharp),
        restored_ssim=ssim(restored, sharp),
        seconds=seconds,
    )


def average(results: list[Result]) -> Result:
    """The mean of every figure over the photographs."""
    figures = [asdict(result) for result in results]
    names = [name for name in figures[0] if name != "photograph"]
    return Result(photograph="mean", **{name: mean(figure[name] for figure in figures) for name in names})


def markdown_table(results: list[Result]) -> str:
    """The results and their mean as a Markdown table."""
    rows = [*results, average(results)]
    width = max(len("picture"), *(len(row.photograph) for row in rows))
    lines = [
        f"| {'picture':<{width}} | PSNR blurred | PSNR restored |     gain | SSIM blurred | SSIM restored | seconds |",
        f"|{'-' * (width + 2)}|-------------:|--------------:|---------:|-------------:|--------------:|--------:|",
    ]
    lines += [
        f"| {row.photograph:<{width}} | {row.blurred_psnr:9.2f} dB | {row.restored_psnr:10.2f} dB |"
        f" {row.gain:+.2f} dB | {row.blurred_ssim:12.4f} | {row.restored_ssim:13.4f} | {row.seconds:7.2f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def to_json(results: list[Result]) -> str:
    """The results and their mean as JSON, unrounded."""
    rows = [{**asdict(row), "gain": row.gain} for row in [*results, average(results)]]
    return json.dumps({"photographs": rows[:-1], "mean": rows[-1]}, indent=2) + "\n"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes under a temporary name in the same folder, then renames."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
