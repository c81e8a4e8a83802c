"""One run of the ablation benchmark: a row of the paper's tables, made narrow, learns to deblur photographs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from deeprftv2_arch.layers.nafevs_block import ORIENTATIONS
from deeprftv2_arch.losses.criteria import MultiScaleLoss
from deeprftv2_arch.losses.frequency_loss import FrequencyLoss
from deeprftv2_arch.networks.ablation import DeepRFTv2Ablation
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.mimo_unet import MIMOUNet
from deeprftv2_arch.options.option_file import read_option_file
from quickstart.deblurring import Deblurring, blurred_version
from quickstart.photographs import HELD_OUT, TRAINING, load_photograph
from quickstart.task import OPTION_FILES

ROW_FILES = OPTION_FILES / "ablation"
NETWORKS: dict[str, type[nn.Module]] = {
    network.__name__: network for network in (DeepRFTv2, DeepRFTv2Ablation, MIMOUNet)
}
MOTION_SEED = 0  # all runs see the same blurred photographs

Image = NDArray[np.uint8]
Pairs = list[tuple[Image, Image]]  # blurred, sharp; (H, W, 3) RGB


@dataclass(frozen=True)
class Settings:
    """What the runs of a comparison share.

    Attributes:
        iterations: Training steps.
        dim: Channels of the finest level, instead of the paper's 48; a row of 56 keeps its ratio.
        shorten: By what the numbers of blocks of the UNets are divided.
        patch: Height and width of the training patches; photographs are restored in tiles of twice that.
        batch: Patches per step.
        exposures: Blurred versions of every training photograph.
    """

    iterations: int
    dim: int
    shorten: int
    patch: int
    batch: int
    exposures: int

    def as_arguments(self) -> str:
        """Write the settings as a command has them, ``--iterations 400 --dim 16 ...``."""
        return " ".join(f"--{name} {value}" for name, value in asdict(self).items())


def narrow_network(row: str, settings: Settings) -> nn.Module:
    """Return the network of a row's option file, with the settings' width and numbers of blocks."""
    options: dict[str, Any] = dict(read_option_file(ROW_FILES / f"{row}.yml")["network_g"])
    options["dim"] = 2 * round(settings.dim * options["dim"] / 48 / 2)
    options["blocks"] = [-(-count // settings.shorten) for count in options["blocks"]]
    for level, kind in enumerate(options.get("full_kinds", ())):
        if kind == "NAFEVS":
            options["blocks"][level] = -(-options["blocks"][level] // ORIENTATIONS) * ORIENTATIONS
    if "memory" in options:
        options["memory"] = "none"
    options |= {"tile": 2 * settings.patch, "tile_overlap": settings.patch // 2}
    return NETWORKS[options.pop("type")](**options)


def photograph_pairs(names: tuple[str, ...], exposures: int) -> Pairs:
    """Return the photographs, each with ``exposures`` blurred versions."""
    jobs = [(name, exposure) for name in names for exposure in range(exposures)]
    pairs = []
    for name, exposure in tqdm(jobs, desc="blurring", unit="photo", leave=False):
        sharp = load_photograph(name)
        pairs.append((blurred_version(sharp, name, exposure, MOTION_SEED), sharp))
    return pairs


def training_pairs(settings: Settings) -> Pairs:
    """Return what the networks learn from."""
    return photograph_pairs(TRAINING, settings.exposures)


def held_out_pairs() -> Pairs:
    """Return what the networks are measured on."""
    return photograph_pairs(HELD_OUT, 1)


def random_batch(pairs: Pairs, settings: Settings, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Cut blurred and sharp patches (B, 3, patch, patch), 0..1, out of random places, flipped and turned at random."""
    patches = []
    for _ in range(settings.batch):
        blurred, sharp = pairs[rng.integers(len(pairs))]
        top, left = (rng.integers(side - settings.patch + 1) for side in sharp.shape[:2])
        both = np.stack([p[top : top + settings.patch, left : left + settings.patch] for p in (blurred, sharp)])
        both = np.rot90(both, int(rng.integers(4)), axes=(1, 2))
        patches.append(both[:, :, ::-1] if rng.integers(2) else both)
    batch = torch.from_numpy(np.stack(patches, axis=1)).permute(0, 1, 4, 2, 3).float() / 255
    return batch[0], batch[1]


def train(
    row: str, seed: int, settings: Settings, pairs: Pairs, device: torch.device, step_done: Callable[[float], object]
) -> nn.Module:
    """Train a row's network with the losses and the optimiser of the quickstart.

    Args:
        row: Name of its option file.
        seed: Of the first weights, and of the places and the order of the patches.
        settings: See there.
        pairs: What it learns from.
        device: Where it learns.
        step_done: Called with the loss after every step.

    Returns:
        The network, in eval mode.
    """
    recipe: Mapping[str, Any] = Deblurring().options["train"]
    torch.manual_seed(seed)
    network = narrow_network(row, settings).to(device)
    rng = np.random.default_rng(seed)
    criterion = MultiScaleLoss({"l1": nn.L1Loss(), "frequency": FrequencyLoss(0.01)})
    optimiser = torch.optim.AdamW(
        network.parameters(), **{key: value for key, value in recipe["optim_g"].items() if key != "type"}
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, settings.iterations, recipe["scheduler"]["eta_min"]
    )
    for _ in range(settings.iterations):
        blurred, sharp = (x.to(device) for x in random_batch(pairs, settings, rng))
        loss = torch.stack(list(criterion(network(blurred, supervise=True), sharp).values())).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe["clip_grad_norm"])
        optimiser.step()
        schedule.step()
        step_done(loss.item())
    return network.eval()


@torch.no_grad()
def measure(network: nn.Module, pairs: Pairs, device: torch.device) -> list[float]:
    """Return the PSNR in dB of every restored photograph, in 8 bits."""
    figures = []
    for blurred, sharp in pairs:
        x = torch.from_numpy(blurred).permute(2, 0, 1)[None].to(device).float() / 255
        restored = network(x)[0].clamp(0, 1).mul(255).round().permute(1, 2, 0).cpu().numpy()
        figures.append(psnr(restored, sharp))
    return figures


def psnr(image: NDArray[Any], truth: Image) -> float:
    """Return the PSNR in dB of two images of 0..255."""
    return 10 * math.log10(255**2 / np.mean((image.astype(np.float64) - truth) ** 2))
