"""Which DeepRFTv2 a state dict belongs to, and what in it does not fit."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deeprftv2_arch.errors import CheckpointError, DeepRFTv2Error
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

SHOWN = 3  # keys named in an error, of every sort
BASE = {
    "dim": 48,
    "units": 2,
    "scales": 2,
    "blocks": [1, 4, 8],
    "full_kinds": ["NAF", "NAFEVS", "NAFEVS"],
    "half_kinds": ["NAF", "NAF", "NAF"],
    "fke_blocks": [1, 1, 1, 1],
    "fke_kind": "VS",
}
PUBLISHED = {"DeepRFTv2-B": BASE, "DeepRFTv2-S": {**BASE, "full_kinds": ["NAF", "NAF", "NAF"]}}


def deduce_arguments(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of :class:`DeepRFTv2` that build a network with these keys.

    Raises:
        CheckpointError: The keys are not those of a DeepRFTv2.
    """
    embed = state.get("units.0.full_scale.embed.weight")
    if embed is None:
        raise CheckpointError("these are not the keys of a DeepRFTv2: 'units.0.full_scale.embed.weight' is missing")
    full = _levels(state, "units.0.full_scale.encoder")
    half = _levels(state, "units.0.half_scale.encoder")
    fke = _levels(state, "units.0.full_scale.fke.sub_resnet")
    arguments = {
        "dim": embed.shape[0],
        "units": _count(state, "units"),
        "scales": 2 if half else 1,
        "blocks": [count for _, count in full],
        "full_kinds": [kind for kind, _ in full],
        "half_kinds": [kind for kind, _ in half] or ["NAF"] * len(full),
        "fke_blocks": [count for _, count in fke],
    }
    return {**arguments, "fke_kind": fke[0][0]} if fke else arguments


def describe(state: Mapping[str, Tensor]) -> str:
    """One phrase for people: "DeepRFTv2-B with dim 48, ...", "DeepRFTv2 with dim 32, ..." or "no DeepRFTv2"."""
    try:
        arguments = deduce_arguments(state)
    except DeepRFTv2Error:
        return "no DeepRFTv2"
    name = next((name for name, published in PUBLISHED.items() if published == arguments), "DeepRFTv2")
    return f"{name} with " + ", ".join(f"{argument} {value}" for argument, value in arguments.items())


def mismatch(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], names: Mapping[str, str] | None = None
) -> str | None:
    """What of ``found`` does not fit ``expected``, naming the first keys of every sort; None if all fits.

    ``names`` has the names of the keys of ``found`` in the user's file, where they are others.
    """
    names = names or {}
    missing = [key for key in expected if key not in found]
    unexpected = [names.get(key, key) for key in found if key not in expected]
    misshaped = [
        f"{names.get(key, key)} {tuple(found[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    sorts = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    parts = [f"{len(keys)} {sort}, e.g. {', '.join(keys[:SHOWN])}" for sort, keys in sorts.items() if keys]
    return "; ".join(parts) or None


def check_complete(state: Mapping[str, Tensor], source: Path, names: Mapping[str, str]) -> None:
    """Raise CheckpointError unless ``state`` has every tensor of the DeepRFTv2 that it looks like, and no other.

    ``names`` has the names of the tensors in the file ``source``.
    """
    try:
        with torch.device("meta"):
            expected = DeepRFTv2(**deduce_arguments(state)).state_dict()
    except DeepRFTv2Error as error:
        raise CheckpointError(f"{source}: {error}") from error
    problem = mismatch(expected, state, names)
    if problem:
        raise CheckpointError(
            f"{source}: looks like {describe(state)}, but has tensors {problem} (missing ones in this package's names)"
        )


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Number of entries of the module list ``prefix``."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for key in state if (match := pattern.match(key))})


def _levels(state: Mapping[str, Tensor], column: str) -> list[tuple[str, int]]:
    """Kind and number of the blocks of every level of a column; empty if there is no such column."""
    return [
        (_kind(state, f"{column}.levels.{level}.blocks.0."), _count(state, f"{column}.levels.{level}.blocks"))
        for level in range(_count(state, f"{column}.levels"))
    ]


def _kind(state: Mapping[str, Tensor], block: str) -> str:
    has_gate, has_scan = f"{block}expand.weight" in state, f"{block}scan.scan_proj.weight" in state
    if has_gate:
        return "NAFEVS" if has_scan else "NAF"
    return "VS" if has_scan else "Res"
