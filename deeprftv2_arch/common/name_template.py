"""How a degraded image is called if its ground truth is called ``{}``: templates such as ``{}x4``."""

from collections.abc import Collection, Sequence
from pathlib import PurePosixPath


def expected_name(template: str, truth: str) -> str:
    """Return the name of the degraded image, in the same folder as that of its ground truth.

    Raises:
        ValueError: The template is malformed, or has no place for the name.
    """
    before, place, after = template.partition("{}")
    if not place or set("{}") & set(before + after):
        raise ValueError(f"expected {{}} once, and no other braces, in {template!r}")
    path = PurePosixPath(truth)
    return str(path.with_name(f"{before}{path.name}{after}"))


def fitting_template(degraded: Collection[str], truths: Sequence[str]) -> str | None:
    """Return the template that pairs all names, if there is one."""
    if not truths:
        return None
    first = PurePosixPath(truths[0])
    for candidate in map(PurePosixPath, sorted(degraded)):
        before, found, after = candidate.name.partition(first.name)
        if not found or candidate.parent != first.parent or set("{}") & set(before + after):
            continue
        template = f"{before}{{}}{after}"
        if len(degraded) == len(truths) and all(expected_name(template, name) in degraded for name in truths):
            return template
    return None
