"""What a process of test_deblur_model_processes.py does: python deblur_model_processes.py RANK WORLD_SIZE FOLDER."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from deblur_model_helpers import TINY_DEEPRFTV2, batch, build, weights
from image_files import options, write_folder
from torch.utils.data import DataLoader

from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset
from deeprftv2_arch.errors import NonFiniteError

GLOBAL_BATCH = 4
SIZE = 16


def share(data: dict[str, Any], rank: int, world_size: int) -> dict[str, Any]:
    """Return this process's part of a batch."""
    count = GLOBAL_BATCH // world_size
    return {key: value[rank * count : (rank + 1) * count] for key, value in data.items()}


def write_validation_images(root: Path) -> None:
    """Write five pairs, so that two processes have unequal shares."""
    for side in range(2):
        generator = np.random.default_rng(side)
        write_folder(root / str(side), {str(n): generator.integers(0, 256, (9, 11, 3), np.uint8) for n in range(5)})


def work(rank: int, world_size: int, root: Path) -> dict[str, Any]:
    """Train, validate, save and stumble; return what came of it."""
    run = root / f"of_{world_size}"
    processes = {"dist": world_size > 1, "rank": rank, "world_size": world_size}
    torch.set_default_dtype(torch.float64)
    network = {**TINY_DEEPRFTV2, "memory": ["reversible", "lean"]}
    model = build(run, {"max_skipped_steps": 1}, network_g=network, **processes)
    torch.set_default_dtype(torch.float32)
    result: dict[str, Any] = {"logs": []}
    for iteration in range(1, 4):
        model.update_learning_rate(iteration)
        model.feed_data(share(batch(iteration, GLOBAL_BATCH, SIZE, torch.float64), rank, world_size))
        model.optimize_parameters(iteration)
        result["logs"].append(dict(model.log_dict))
    result["weights"] = weights(model)
    torch.manual_seed(100 + rank)
    model.save(0, 3)

    class DoublePrecision(DeblurPairDataset):
        def __getitem__(self, index: Any) -> dict[str, Any]:
            item = super().__getitem__(index)
            return {**item, "lq": item["lq"].double(), "gt": item["gt"].double()}

    loader = DataLoader(DoublePrecision(options(root / "0", root / "1", phase="val", name="toy")))
    model.validation(loader, 3, None, save_img=True)
    result["best"] = model.best_metric_results

    poisoned = batch(4, GLOBAL_BATCH, SIZE, torch.float64)
    poisoned["gt"][-1, 0, 0, 0] = torch.nan  # an image of the last process alone
    result["messages"] = []
    for iteration in (4, 5):
        try:
            model.feed_data(share(poisoned, rank, world_size))
            model.optimize_parameters(iteration)
        except NonFiniteError as error:
            result["messages"].append(str(error))
        result["skipped"] = model.guard.skipped
    result["weights after skipping"] = weights(model)
    return result


if __name__ == "__main__":
    rank, world_size, root = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{root / 'meeting'}", rank=rank, world_size=world_size)
    torch.save(work(rank, world_size, root), root / f"{rank}.pt")
    dist.destroy_process_group()
