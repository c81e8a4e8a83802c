"""``python -m benchmarks.deblurring``: what a network gains on simulated shake, beside sharpening without a network.

Every photograph of a folder is shaken by paths of each range of lengths, whole and by the camera alone, once for every
seed: one draw is easier than another. Beside the network stand the best unsharp mask and the best deconvolutions with a
guessed Gaussian kernel, whose parameters are those that do best on these very images, range by range: an advantage that
the network does not have. Sharp photographs and pairs of real blurred and sharp images are measured as well. The tables
are printed, and written if a file is named.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from benchmarks.environment import environment_lines
from deeprftv2_arch.common.images import decode
from deeprftv2_arch.data.synthetic_blur import BlurSettings, expose_photograph
from deeprftv2_arch.restoring.restorer import Restorer

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Pair = tuple[Image, Image]  # blurred, sharp
Method = Callable[[Image], Image]

RANGES = ((3.0, 8.0), (8.0, 15.0), (15.0, 30.0))  # of the length of the path in pixels
SHAKE = BlurSettings(sharp=0, resample=(1, 1), objects=0, highlights=0, defocus=0, noise=0, jpeg=0)
SIGMAS = (0.6, 0.9, 1.3, 1.9, 2.8)  # of the guessed Gaussian in pixels
AMOUNTS = (0.25, 0.5, 1.0, 2.0)  # of the unsharp mask
NOISES = (1e-3, 4e-3, 1.6e-2, 6.4e-2)  # ratio of noise to signal of Wiener's filter
ITERATIONS = (2, 4, 8, 16)  # of Richardson and Lucy's
BORDER = 16  # pixels by which an image is continued for a deconvolution


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deblurring", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="the network's checkpoint")
    parser.add_argument("--options", type=Path, required=True, help="its option file")
    parser.add_argument("--photographs", type=Path, required=True, help="folder of sharp photographs to shake")
    parser.add_argument("--pairs", type=Path, help="folder with blur/ and sharp/, real images of the same names")
    parser.add_argument("--crop", type=int, help="side of squares cut out of their middles (default: whole)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the shake (default: 1 2 3)")
    parser.add_argument("--output", type=Path, help="file for the tables")
    options = parser.parse_args(arguments)
    restorer = Restorer.from_options(options.options, options.weights)
    photographs = {path.stem: _middle(_read(path), options.crop) for path in sorted(options.photographs.iterdir())}
    text = shake_table(restorer, photographs, options.seeds) + harmless_table(restorer, photographs)
    if options.pairs:
        text += pair_table(restorer, options.pairs)
    text += "\n" + "\n".join(environment_lines(torch.device("cpu"))) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


def shake_table(network: Method, photographs: Mapping[str, Image], seeds: Sequence[int]) -> str:
    """Gains in dB over the blurred images, mean and worst, for every range of path lengths."""
    lines = [
        f"| path, px | blurred, dB | network | worst image | {' | '.join(RIVALS)} |\n|---|---|---|---|---|---|---|\n"
    ]
    for bounds in RANGES:
        pairs = [pair for seed in seeds for pair in shaken(photographs, bounds, seed)]
        before = [psnr(*pair) for pair in pairs]
        gains = np.subtract([psnr(network(blurred), sharp) for blurred, sharp in pairs], before)
        rivals = [best(method, choices, pairs) - np.mean(before) for method, choices in RIVALS.values()]
        figures = [np.mean(before), gains.mean(), gains.min(), *rivals]
        cells = [f"{figures[0]:.2f}", *(f"{figure:+.2f}" for figure in figures[1:])]
        lines.append(f"| {bounds[0]:g} to {bounds[1]:g} | {' | '.join(cells)} |\n")
    return "".join(lines)


def harmless_table(network: Method, photographs: Mapping[str, Image]) -> str:
    """Measure what becomes of sharp photographs."""
    rows = []
    for image in photographs.values():
        restored = network(image)
        shift = np.abs(restored.mean(axis=(0, 1)) - image.mean(axis=(0, 1))).max()
        rows.append((psnr(restored, image), ssim(restored, image), shift))
    table = np.array(rows)
    return (
        "\n| sharp photographs | mean | worst |\n|---|---|---|\n"
        f"| PSNR, dB | {table[:, 0].mean():.2f} | {table[:, 0].min():.2f} |\n"
        f"| SSIM | {table[:, 1].mean():.4f} | {table[:, 1].min():.4f} |\n"
        f"| shift of a channel's mean, levels | {table[:, 2].mean():.3f} | {table[:, 2].max():.3f} |\n"
    )


def pair_table(network: Method, folder: Path) -> str:
    """PSNR and SSIM of real pairs, before and after."""
    text = "\n| real pair | blurred, dB | gain | SSIM | restored | seconds |\n|---|---|---|---|---|---|\n"
    for path in sorted((folder / "blur").iterdir()):
        blurred, sharp = _read(path), _read(folder / "sharp" / path.name)
        start = time.perf_counter()
        restored = network(blurred)
        seconds = time.perf_counter() - start
        before = psnr(blurred, sharp)
        text += (
            f"| {path.stem} | {before:.2f} | {psnr(restored, sharp) - before:+.2f} | {ssim(blurred, sharp):.4f} | "
            f"{ssim(restored, sharp):.4f} | {seconds:.0f} |\n"
        )
    return text


def shaken(photographs: Mapping[str, Image], bounds: tuple[float, float], seed: int) -> list[Pair]:
    """Every photograph, shaken by a path whose length in pixels lies within bounds."""
    settings = replace(SHAKE, path=bounds)
    pairs = []
    for number, image in enumerate(photographs.values()):
        rng = np.random.default_rng([seed, number])
        blurred, sharp, _ = expose_photograph(settings, rng, image)
        pairs.append((blurred, sharp))
    return pairs


def best(method: Callable[..., Image], choices: Sequence[tuple[float, float]], pairs: Sequence[Pair]) -> float:
    """Return the highest mean PSNR in dB that any choice of parameters reaches."""
    return max(
        float(np.mean([psnr(method(blurred, *choice), sharp) for blurred, sharp in pairs])) for choice in choices
    )


def unsharp_mask(image: Image, sigma: float, amount: float) -> Image:
    """Return the image plus ``amount`` times its difference from its Gaussian blur."""
    x = image / np.float32(255)
    return _levels(x + np.float32(amount) * (x - cv2.GaussianBlur(x, (0, 0), sigma)))


def wiener(image: Image, sigma: float, noise: float) -> Image:
    """Wiener's filter for a Gaussian kernel: conj(K) / (|K|^2 + noise)."""
    x = np.pad(image, [(BORDER, BORDER), (BORDER, BORDER), (0, 0)], mode="reflect") / np.float32(255)
    height, width = x.shape[:2]
    # The transform of a Gaussian is one.
    u, v = np.fft.rfftfreq(width), np.fft.fftfreq(height)[:, None]
    kernel = np.exp(-2 * (math.pi * sigma) ** 2 * (u**2 + v**2))
    spectrum = np.fft.rfft2(x, axes=(0, 1)) * (kernel / (kernel**2 + noise) * (1 + noise))[:, :, None]
    restored = np.fft.irfft2(spectrum, (height, width), axes=(0, 1))
    return _levels(restored[BORDER:-BORDER, BORDER:-BORDER])


def richardson_lucy(image: Image, sigma: float, iterations: int) -> Image:
    """Richardson and Lucy's iterations for a Gaussian kernel."""
    x = np.maximum(image / np.float32(255), 1e-3)
    estimate = x
    for _ in range(iterations):
        estimate = estimate * cv2.GaussianBlur(x / cv2.GaussianBlur(estimate, (0, 0), sigma), (0, 0), sigma)
    return _levels(estimate)


RIVALS: dict[str, tuple[Callable[..., Image], list[tuple[float, float]]]] = {
    "unsharp mask": (unsharp_mask, list(itertools.product(SIGMAS, AMOUNTS))),
    "Wiener": (wiener, list(itertools.product(SIGMAS, NOISES))),
    "Richardson-Lucy": (richardson_lucy, list(itertools.product(SIGMAS, ITERATIONS))),
}


def psnr(image: Image, truth: Image) -> float:
    """In dB, of values of 8 bits; 100 for equal images."""
    error = np.mean((image.astype(np.float32) - truth) ** 2)
    return min(100.0, 10 * math.log10(255**2 / max(float(error), 1e-9)))


def ssim(image: Image, truth: Image) -> float:
    """With Gaussian windows of sigma 1.5, mean over the channels."""
    return float(
        structural_similarity(truth, image, channel_axis=2, gaussian_weights=True, use_sample_covariance=False)
    )


def _middle(image: Image, side: int | None) -> Image:
    if side is None:
        return image
    top, left = ((length - min(side, length)) // 2 for length in image.shape[:2])
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def _levels(image: NDArray[np.floating]) -> Image:
    rounded: NDArray[np.uint8] = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return rounded


def _read(path: Path) -> Image:
    return np.ascontiguousarray(decode(path.read_bytes())[:, :, ::-1], np.uint8)


if __name__ == "__main__":
    main()
