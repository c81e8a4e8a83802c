"""The order of training: the same for every number of processes, exactly resumable, complete."""

from collections import Counter
from typing import Any

import pytest

from deeprftv2_arch.data.batch_samplers import ProgressiveBatchSampler
from deeprftv2_arch.data.patches import PatchRequest
from deeprftv2_arch.errors import OptionError

STAGES = [{"iters": 10, "patch_size": 32, "batch_size": 8}, {"iters": 6, "patch_size": 64, "batch_size": 4}]
SIZE = 13  # neither divides a batch nor is divided by one


def batches(**arguments: int) -> list[list[PatchRequest]]:
    return list(ProgressiveBatchSampler(SIZE, STAGES, **{"seed": 3, **arguments}))


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_the_batches_of_one(world_size: int) -> None:
    shares = [batches(rank=rank, world_size=world_size) for rank in range(world_size)]
    joined = [[request for share in step for request in share] for step in zip(*shares, strict=True)]
    assert joined == batches()
    assert {len(share[0]) for share in shares} == {8 // world_size}


@pytest.mark.parametrize("start_iter", [0, 1, 9, 10, 11, 15, 16])
def test_resume_goes_on_where_the_run_stopped(start_iter: int) -> None:
    sampler = ProgressiveBatchSampler(SIZE, STAGES, seed=3, start_iter=start_iter)
    assert list(sampler) == batches()[start_iter:]
    assert len(sampler) == 16 - start_iter


def test_iterating_again_and_announcing_epochs_changes_nothing() -> None:
    sampler = ProgressiveBatchSampler(SIZE, STAGES, seed=3)
    first = list(sampler)
    sampler.set_epoch(5)
    assert list(sampler) == first


def test_every_walk_through_the_data_visits_every_image_once() -> None:
    order = [request.index for batch in batches() for request in batch]
    assert len(order) == 10 * 8 + 6 * 4
    walks = [order[first : first + SIZE] for first in range(0, len(order), SIZE)]
    assert all(Counter(walk) == Counter(range(SIZE)) for walk in walks)
    assert len({tuple(walk) for walk in walks}) == len(walks) == 8


def test_stages_change_at_their_iteration() -> None:
    assert [(len(batch), batch[0].patch_size) for batch in batches()] == [(8, 32)] * 10 + [(4, 64)] * 6


def test_seeds_of_patches_all_differ_and_depend_on_the_seed() -> None:
    seeds = [request.seed for batch in batches() for request in batch]
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & {request.seed for batch in batches(seed=4) for request in batch}
    orders = [[request.index for batch in batches(seed=seed) for request in batch] for seed in (3, 4)]
    assert orders[0] != orders[1]


def test_total_iter_ends_the_run_early() -> None:
    assert batches(total_iter=12) == batches()[:12]


@pytest.mark.parametrize(
    ("arguments", "stages", "message"),
    [
        ({"total_iter": 17}, STAGES, "end after 16 iterations, train: total_iter is 17"),
        ({"world_size": 3}, STAGES, "a batch_size of 8 cannot be shared equally by 3 processes"),
        ({}, [], "patch_stages: missing"),
        ({}, [{"iters": 4, "patch_size": 8}], "item 1 has the keys iters, patch_size, not"),
        ({}, [*STAGES, {"iters": 4, "patch_size": 8, "batch_size": 0}], "item 3 must hold positive whole numbers"),
        ({}, [{"iters": 4.5, "patch_size": 8, "batch_size": 1}], "item 1 must hold positive whole numbers"),
    ],
)
def test_bad_stages_are_named(arguments: dict[str, Any], stages: list[Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ProgressiveBatchSampler(SIZE, stages, seed=0, **arguments)
