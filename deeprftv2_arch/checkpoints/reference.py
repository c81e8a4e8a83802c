"""Weights of the authors' reference implementations under the names of this package's networks."""

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from deeprftv2_arch.checkpoints import deeprftv2_reference, ufpnet_reference
from deeprftv2_arch.errors import CheckpointError

Translate = Callable[[str, Tensor], dict[str, Tensor]]

logger = logging.getLogger(__name__)


class Layout(NamedTuple):
    """How a reference names its weights.

    Attributes:
        mark: A name that all its checkpoints have, and no others.
        translate: Gives a tensor of the reference our name, or several parts of it theirs; the values stay. Nothing
            comes of a tensor that has no effect.
        left_out: The tensors of a whole checkpoint of which nothing comes, as far as their names and shapes count.
    """

    mark: str
    translate: Translate
    left_out: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


LAYOUTS = {
    "deeprftv2": Layout(
        "global_model.patch_embed_maxs.0.proj.weight", deeprftv2_reference.translate, lambda params: {}
    ),
    "ufpnet": Layout(ufpnet_reference.MARK, ufpnet_reference.translate, ufpnet_reference.left_out),
}


def layout_of(params: Mapping[str, Tensor]) -> Layout | None:
    """The reference whose names these are; None if they are of none."""
    return next((layout for layout in LAYOUTS.values() if layout.mark in params), None)


def under_our_names(params: Mapping[str, Tensor], source: str) -> Mapping[str, Tensor]:
    """The weights of the file ``source`` under this package's names, where theirs are those of a reference."""
    layout = layout_of(params)
    if layout is None:
        return params
    logger.info("%s: weights of the authors' reference, read under the names of this package", source)
    return translate_all(params, source, layout.translate)[0]


def translate_all(
    params: Mapping[str, Tensor], source: str, translate: Translate = deeprftv2_reference.translate
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Translate every tensor of the file ``source``; returns them, and the reference's name of each.

    Raises:
        CheckpointError: Two tensors get the same name, or one is not what ``translate`` knows.
    """
    converted: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for key, tensor in params.items():
        try:
            parts = translate(key, tensor)
        except CheckpointError as error:
            raise CheckpointError(f"{source}: {error}") from error
        for name, translated in parts.items():
            if name in converted:
                raise CheckpointError(f"{source}: two tensors would become '{name}', the second is '{key}'")
            converted[name] = translated
            names[name] = key
    return converted, names
