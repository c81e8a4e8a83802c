"""Phrases that several messages share."""

_NAMED = 5


def name_some(names: list[str]) -> str:
    """`a, b, c, d, e and 7 more`."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
