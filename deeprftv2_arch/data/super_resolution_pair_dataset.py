"""Pairs of images of low and of high resolution."""

from collections.abc import Mapping
from typing import Any

from deeprftv2_arch.data.image_pair_dataset import ImagePairDataset
from deeprftv2_arch.errors import OptionError


class SuperResolutionPairDataset(ImagePairDataset):
    """Images of low resolution (``lq``) with those of high resolution (``gt``).

    datasets/DF2K/train/LRx2.lmdb/{data.mdb, meta_info.txt}      HR.lmdb/{data.mdb, meta_info.txt}
    datasets/Set5/LR_bicubic/X2/<image>x2.png                  HR/<image>.png (filename_tmpl: '{}x2')

    A patch of the high resolution is ``scale`` times as large as the ``patch_size`` of its stage and shows the same. In
    evaluation, the high resolution may have up to ``scale - 1`` further pixels at the right and the bottom, which are
    cut off. Everything else is said of :class:`ImagePairDataset`.

    Args:
        opt: Also has ``scale``, which BasicSR and the launchers copy from the top of the option file.
    """

    @staticmethod
    def read_scale(opt: Mapping[str, Any]) -> int:
        """Return the option ``scale``."""
        scale = opt.get("scale")
        if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
            raise OptionError(
                f"datasets: {opt.get('name')}: expected scale, a whole number from 1 on, at the top of the option "
                f"file, not {scale!r}"
            )
        return scale
