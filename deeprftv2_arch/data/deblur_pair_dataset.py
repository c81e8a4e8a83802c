"""Pairs of blurred and sharp images."""

from collections.abc import Mapping
from typing import Any

from deeprftv2_arch.data.image_pair_dataset import ImagePairDataset


class DeblurPairDataset(ImagePairDataset):
    """Blurred images (``lq``) with their sharp ones (``gt``), both of one size.

    datasets/GoPro/train/blur.lmdb/{data.mdb, meta_info.txt}     sharp.lmdb/{data.mdb, meta_info.txt}
    datasets/GoPro/train/blur/<sequence>/<frame>.png             sharp/<sequence>/<frame>.png

    Everything else is said of :class:`ImagePairDataset`.
    """

    @staticmethod
    def read_scale(opt: Mapping[str, Any]) -> int:
        """Return 1, whatever the options say."""
        return 1
