"""Counting the entries of a module list by the names of its weights."""

import re
from collections.abc import Mapping

from torch import Tensor


def count_entries(state: Mapping[str, Tensor], prefix: str) -> int:
    """Number of entries of the module list ``prefix`` that have weights."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for key in state if (match := pattern.match(key))})
