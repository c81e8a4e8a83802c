"""Which degraded image belongs to which ground truth."""

from collections.abc import Sequence

from deeprftv2_arch.common.name_template import expected_name, fitting_template
from deeprftv2_arch.errors import DataError, OptionError

SHOWN = 3  # images without a partner that an error names


def pair_names(
    lq: Sequence[str], gt: Sequence[str], template: str, lq_root: object, gt_root: object
) -> list[tuple[str, str]]:
    """Pair images by name.

    Args:
        lq: Names of the degraded images.
        gt: Names of the ground truth.
        template: The option ``filename_tmpl``: last part of a degraded image's name, ``{}`` standing for that of its
            ground truth.
        lq_root: Where the degraded images lie, for the message.
        gt_root: Where the ground truth lies, for the message.

    Returns:
        (name of the degraded image, name of the ground truth), in the order of the latter.

    Raises:
        DataError: An image has no partner; the first of them are named, and the template that would pair all, if
            there is one.
        OptionError: The template is malformed.
    """
    try:
        pairs = [(expected_name(template, name), name) for name in gt]
    except ValueError as error:
        raise OptionError(f"filename_tmpl: {template!r}: write {{}} for the name of the ground truth") from error
    existing, wanted = set(lq), {name for name, _ in pairs}
    complaints = [
        f"{root} lacks {len(names)}: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
        for root, names in (
            (lq_root, [name for name, _ in pairs if name not in existing]),
            (gt_root, [f"the partner of {name}" for name in lq if name not in wanted]),
        )
        if names
    ]
    if complaints:
        better = fitting_template(existing, gt)
        advice = f"; set filename_tmpl: '{better}', which pairs them all" if better else ""
        raise DataError(f"the images of dataroot_lq and dataroot_gt do not pair: {'; '.join(complaints)}{advice}")
    return pairs
