"""Values from outside that hold others: looked at without recursion, before anything goes through them with it."""

import json
from collections.abc import Mapping
from typing import Any

MOST_VALUES = 10_000_000  # all that a value holds, what stands in several places counted in each
DEEPEST_JSON = 50


def is_bounded(value: object, deepest: int, most: int = MOST_VALUES) -> bool:
    """Tell whether a value is nested no deeper, and holds no more values, than told.

    Args:
        value: Dictionaries, lists and tuples in each other, or something else.
        deepest: How many of them may be in each other.
        most: How many values may be in it; one that stands in two places counts twice, as where it is copied.
    """
    level = {id(value): (value, 1)}  # with in how many places of this depth each stands
    for _ in range(deepest + 1):
        below: dict[int, tuple[object, int]] = {}
        for group, places in level.values():
            for item in _items(group):
                below[id(item)] = item, places + below.get(id(item), (item, 0))[1]
        most -= sum(places for _, places in below.values())
        if most < 0:
            return False
        level = below
    return not level


def _items(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def read_json(text: str | bytes) -> Any:
    """Read JSON that may come from anybody.

    Raises:
        ValueError: It is none, or nested deeper than anything here writes it.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not is_bounded(value, DEEPEST_JSON):
        raise ValueError("nested too deeply")
    return value
