"""Which DeepRFTv2 a state dict belongs to."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from deeprftv2_arch.checkpoints.counting import count_entries
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

MARK = "units.0.full_scale.embed.weight"  # a weight that every DeepRFTv2 has, and no other network

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
    embed = state.get(MARK)
    if embed is None:
        raise CheckpointError(f"these are not the keys of a DeepRFTv2: '{MARK}' is missing")
    if embed.dim() != 4:
        raise CheckpointError(f"these are not the tensors of a DeepRFTv2: '{MARK}' has {embed.dim()} dimensions")
    full = _levels(state, "units.0.full_scale.encoder")
    half = _levels(state, "units.0.half_scale.encoder")
    fke = _levels(state, "units.0.full_scale.fke.sub_resnet")
    arguments = {
        "dim": embed.shape[0],
        "units": count_entries(state, "units"),
        "scales": 2 if half else 1,
        "blocks": [count for _, count in full],
        "full_kinds": [kind for kind, _ in full],
        "half_kinds": [kind for kind, _ in half] or ["NAF"] * len(full),
        "fke_blocks": [count for _, count in fke],
    }
    return {**arguments, "fke_kind": fke[0][0]} if fke else arguments


def build(state: Mapping[str, Tensor]) -> DeepRFTv2:
    """The DeepRFTv2 that these weights fit, without them.

    Raises:
        CheckpointError: The keys are not those of a DeepRFTv2.
        OptionError: There is no such DeepRFTv2.
    """
    return DeepRFTv2(**deduce_arguments(state))


def published_name(arguments: Mapping[str, Any]) -> str | None:
    """The name of the published network with these arguments of :func:`deduce_arguments`; None if there is none."""
    return next((name for name, published in PUBLISHED.items() if published == arguments), None)


def describe(state: Mapping[str, Tensor]) -> str:
    """One phrase for people: "DeepRFTv2-B with dim 48, ..." or "DeepRFTv2 with dim 32, ...".

    Raises:
        CheckpointError: The keys are not those of a DeepRFTv2.
    """
    arguments = deduce_arguments(state)
    return f"{published_name(arguments) or 'DeepRFTv2'} with " + ", ".join(
        f"{argument} {value}" for argument, value in arguments.items()
    )


def _levels(state: Mapping[str, Tensor], column: str) -> list[tuple[str, int]]:
    """Kind and number of the blocks of every level of a column; empty if there is no such column."""
    return [
        (_kind(state, f"{column}.levels.{level}.blocks.0."), count_entries(state, f"{column}.levels.{level}.blocks"))
        for level in range(count_entries(state, f"{column}.levels"))
    ]


def _kind(state: Mapping[str, Tensor], block: str) -> str:
    has_gate, has_scan = f"{block}expand.weight" in state, f"{block}scan.scan_proj.weight" in state
    if has_gate:
        return "NAFEVS" if has_scan else "NAF"
    return "VS" if has_scan else "Res"
