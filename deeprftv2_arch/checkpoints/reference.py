"""Weights of the authors' own implementations under the names of this package's networks."""

import logging
from collections.abc import Mapping

from torch import Tensor

from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.networks.card import AuthorsLayout
from deeprftv2_arch.networks.cards import authors_layouts

logger = logging.getLogger(__name__)


def layout_of(params: Mapping[str, Tensor]) -> AuthorsLayout | None:
    """Return the layout whose names these are; None if they are of none."""
    return next((layout for layout in authors_layouts().values() if layout.mark in params), None)


def under_our_names(params: Mapping[str, Tensor], source: str) -> Mapping[str, Tensor]:
    """Return the weights of the file ``source`` under this package's names, where theirs are those of a reference."""
    layout = layout_of(params)
    if layout is None:
        return params
    logger.info("%s: weights of the authors' reference, read under the names of this package", source)
    return translate_all(params, source, layout)[0]


def translate_all(
    params: Mapping[str, Tensor], source: str, layout: AuthorsLayout
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Translate every tensor of the file ``source``; return them, and the reference's name of each.

    Raises:
        CheckpointError: Two tensors get the same name, or one is not what the layout knows.
    """
    converted: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for key, tensor in params.items():
        try:
            parts = layout.translate(key, tensor)
        except CheckpointError as error:
            raise CheckpointError(f"{source}: {error}") from error
        for name, translated in parts.items():
            if name in converted:
                raise CheckpointError(f"{source}: two tensors would become '{name}', the second is '{key}'")
            converted[name] = translated
            names[name] = key
    return converted, names
