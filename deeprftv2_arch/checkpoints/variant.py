"""Which network a state dict belongs to, and what in it does not fit."""

from collections.abc import Mapping

from torch import Tensor

from deeprftv2_arch.checkpoints.known_networks import known_network
from deeprftv2_arch.checkpoints.stage_marks import describe_stage
from deeprftv2_arch.errors import CheckpointError

SHOWN = 3  # keys named in an error, of every sort


def describe(state: Mapping[str, Tensor]) -> str:
    """One phrase for people: "DeepRFTv2-B with dim 48, ...", "ATD-light at x4 with fke", or that it is neither."""
    known = known_network(state)
    if known is None:
        return describe_stage(state) or "no network of this package"
    try:
        return known.describe(state)
    except CheckpointError:
        return f"a part of a network {known.name}"


def difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """The arguments in which two networks of one kind differ: "upscale 2 instead of 4"; empty if they are not."""
    known = known_network(found)
    if known is None or known != known_network(expected):
        return ""
    try:
        ours, theirs = known.deduce_arguments(found), known.deduce_arguments(expected)
    except CheckpointError:
        return ""
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return ", ".join(f"{name} {ours.get(name)} instead of {theirs.get(name)}" for name in names)


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
