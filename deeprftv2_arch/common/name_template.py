"""How a degraded image is called if its ground truth is called ``{}``: templates such as ``{}x4``."""

from collections.abc import Collection, Sequence
from pathlib import PurePosixPath


def expected_name(template: str, truth: str) -> str:
    """Return the name of the degraded image, in the same folder as that of its ground truth.

    Raises:
        ValueError: The template is malformed, or has no place for the name.
    """
    path = PurePosixPath(truth)
    try:
        name = template.format(path.name)
    except (IndexError, KeyError) as error:
        raise ValueError(f"no {{}} alone in {template!r}") from error
    if "{" not in template:
        raise ValueError(f"no {{}} in {template!r}")
    return str(path.with_name(name))


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
