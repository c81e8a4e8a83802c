"""What the kernels that numba compiles and their caller agree on; needs no numba."""

from typing import Any, NamedTuple

LANES = 16  # channels of a block, which a kernel works on at once
CHUNK = 64  # positions between two states that are kept for the backward pass, a multiple of LANES
TILE = CHUNK * LANES  # elements
TILES = 5  # of one kernel

Array = Any  # of NumPy, one-dimensional and contiguous, float32 or float64


class Strided(NamedTuple):
    """A (batch, channels or states, length) tensor: its memory, and how many elements neighbours are apart."""

    data: Array
    over_rows: int
    over_channels: int
    over_positions: int


class Sizes(NamedTuple):
    """Of the whole scan; ``segments`` are the parts of a sequence that are scanned side by side."""

    batch: int
    channels: int
    length: int
    states: int
    segments: int


class Task(NamedTuple):
    """A row of the batch, a group of blocks and a segment; first ones are in, last ones are not."""

    row: int
    group: int
    first_block: int
    last_block: int
    segment: int
    first_chunk: int
    last_chunk: int


def scratch_size(blocks: int, states: int, gradients: bool) -> int:
    """Count the elements of working memory that a task of so many blocks takes."""
    width = states * LANES
    return TILES * TILE + 2 * CHUNK * states + blocks * width + (width * (4 * CHUNK + 2) if gradients else 0)
