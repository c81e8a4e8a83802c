"""The option files of this project, made from templates and tables, so that a default stands in one place.

``options/`` of the checkout holds what comes of them, complete and commented, as an unmodified BasicSR needs it;
``make options`` writes it, ``python -m deeprftv2_arch options copy`` hands out a single one. Needs neither PyTorch nor
BasicSR.
"""

import re
import textwrap
from collections.abc import Iterable
from pathlib import PurePosixPath

from jinja2 import Environment, PackageLoader, StrictUndefined

from deeprftv2_arch.recipes.tables import RECIPES

WIDTH = 120
SCHEMA = "schema.json"


def names() -> list[str]:
    """Return the names of all recipes: their paths below ``options/``, without ``.yml``."""
    return list(RECIPES)


def title(name: str) -> str:
    """Return the first sentence of a recipe's heading, without its numbers of parameters and images."""
    heading = " ".join(line.removeprefix("#").strip() for line in render(name).split("#\n")[0].splitlines()[1:])
    sentence = re.split(r" \(\d", heading.partition(". ")[0].removesuffix("."))[0]
    return textwrap.shorten(sentence, WIDTH - 30, placeholder=" ...")


def render(name: str, schema: str = SCHEMA) -> str:
    """Return the option file of a recipe.

    Args:
        name: One of :func:`names`.
        schema: Where editors find the JSON schema, relative to the file.
    """
    template, values = RECIPES[name]
    return _ENVIRONMENT.get_template(f"{template}.yml.j2").render(values, recipe=name, schema=schema)


def schema_beside(name: str) -> str:
    """Return the path of the schema in ``options/``, relative to the file of a recipe there."""
    return "/".join([".."] * (len(PurePosixPath(name).parts) - 1) + [SCHEMA])


def _commented(text: str | Iterable[str]) -> str:
    """Return a text as comment lines; of several texts, each begins a line."""
    paragraphs = [text] if isinstance(text, str) else text
    return "\n".join(
        line
        for paragraph in paragraphs
        for line in textwrap.wrap(
            paragraph,
            WIDTH,
            initial_indent="# ",
            subsequent_indent="# ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


_ENVIRONMENT = Environment(
    loader=PackageLoader("deeprftv2_arch.recipes"),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701  (what is written is YAML)
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters["commented"] = _commented
