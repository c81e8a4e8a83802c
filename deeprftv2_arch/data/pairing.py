"""Which blurred picture belongs to which sharp one."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from deeprftv2_arch.errors import DataError, OptionError

SHOWN = 3  # pictures without a partner that an error names


def pair_names(
    blurred: Sequence[str], sharp: Sequence[str], template: str, blurred_root: object, sharp_root: object
) -> list[tuple[str, str]]:
    """Pair pictures by name.

    Args:
        blurred: Names of the blurred pictures.
        sharp: Names of the sharp pictures.
        template: The option ``filename_tmpl``: last part of a blurred name, ``{}`` standing for that of the sharp one.
        blurred_root: Where the blurred pictures lie, for the message.
        sharp_root: Where the sharp pictures lie, for the message.

    Returns:
        (blurred name, sharp name), in the order of the sharp ones.

    Raises:
        DataError: A picture has no partner; the first of them are named.
        OptionError: The template is malformed.
    """
    try:
        pairs = [(str(path.with_name(template.format(path.name))), str(path)) for path in map(PurePosixPath, sharp)]
    except (IndexError, KeyError, ValueError) as error:
        raise OptionError(f"filename_tmpl: {template!r}: write {{}} for the name of the sharp picture") from error
    existing, wanted = set(blurred), {name for name, _ in pairs}
    complaints = [
        f"{root} lacks {len(names)}: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
        for root, names in (
            (blurred_root, [name for name, _ in pairs if name not in existing]),
            (sharp_root, [f"the partner of {name}" for name in blurred if name not in wanted]),
        )
        if names
    ]
    if complaints:
        raise DataError(f"blurred and sharp pictures do not pair: {'; '.join(complaints)}")
    return pairs
