"""Examples in docstrings, which begin with ``>>>``, shown as code wherever they stand."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^(>>> .*(?:\n(?!\s*$).*)*)", re.MULTILINE)


class Examples(griffe.Extension):
    """Puts every example into a block of code."""

    def on_instance(self, *, obj: griffe.Object, **others: Any) -> None:
        """Change the docstring of whatever has one."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(r"```pycon\n\1\n```", obj.docstring.value)
