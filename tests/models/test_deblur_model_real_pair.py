"""A tiny DeepRFTv2 learns from crops of a real GoPro pair, through LMDBs, the sampler and DeblurModel."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from deblur_model_helpers import TINY_DEEPRFTV2, build
from image_files import options, write_lmdb
from torch.utils.data import DataLoader

from deeprftv2_arch.data.batch_samplers import ProgressiveBatchSampler
from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset

STEPS = 90
SIZE = 48


@pytest.mark.slow
def test_loss_falls_on_a_real_pair(tmp_path: Path, real_pair: tuple[Path, Path]) -> None:
    roots = []
    for path in real_pair:
        image = cv2.imread(str(path))
        crops = {f"{left:04d}": image[200 : 200 + SIZE, left : left + SIZE] for left in range(300, 684, 64)}
        roots.append(write_lmdb(tmp_path / f"{path.parent.name}.lmdb", crops))
    stages = [{"iters": STEPS, "patch_size": SIZE, "batch_size": 3}]
    dataset = DeblurPairDataset(options(*roots, patch_stages=stages, augment=False))
    loader = DataLoader(dataset, batch_sampler=ProgressiveBatchSampler(len(dataset), stages, seed=0))
    recipe = {
        "optim_g": {"type": "AdamW", "lr": 1e-2, "weight_decay": 1e-3, "betas": [0.9, 0.9]},
        "scheduler": {"type": "CosineAnnealingLR", "T_max": STEPS, "eta_min": 1e-7},
    }
    model = build(tmp_path, recipe, network_g={**TINY_DEEPRFTV2, "units": 1})
    losses = []
    for iteration, data in enumerate(loader, 1):
        model.update_learning_rate(iteration)
        model.feed_data(data)
        model.optimize_parameters(iteration)
        losses.append(sum(value for name, value in model.log_dict.items() if name != "grad_norm"))
    first, last = np.mean(losses[:4]), np.mean(losses[-4:])  # four batches: every crop twice
    assert last < 0.7 * first, (first, last)
    assert all(torch.isfinite(value).all() for value in model.net_g.state_dict().values())
