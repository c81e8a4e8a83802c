"""What the data sets of super-resolution share: how a low resolution is named, and what replaces a missing one."""

import re
from dataclasses import replace

from datasets_prep.sources import SourceImage

_TRUTH_SUFFIX = re.compile(r"_HR_x\d+$")


def truth_key(stem: str) -> str:
    """`baby_HR_x4` -> `baby`; other stems stay as they are."""
    return _TRUTH_SUFFIX.sub("", stem)


def low_key(stem: str, scale: int) -> str:
    """`babyx4` and `baby_LRBI_x4` -> `baby` at scale 4; other stems stay as they are."""
    return re.sub(rf"(_LRBI_)?x{scale}$", "", stem)


def made_from(truth: dict[str, SourceImage], scale: int) -> dict[str, SourceImage]:
    """The low-resolution images that the engine makes from those of the ground truth."""
    return {key: replace(image, shrink=scale) for key, image in truth.items()}
