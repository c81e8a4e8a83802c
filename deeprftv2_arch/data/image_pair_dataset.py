"""Pairs of degraded images and their ground truth, for training and evaluation."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from deeprftv2_arch.common.images import Image, decode
from deeprftv2_arch.common.orientation import require_one_orientation
from deeprftv2_arch.data.image_stores import ImageDatabase, ImageFolder
from deeprftv2_arch.data.pairing import SHOWN, pair_names
from deeprftv2_arch.data.patches import (
    FLIPS,
    WAYS,
    PatchRequest,
    PatchSize,
    PatchStage,
    height_and_width,
    read_stages,
    turned,
)
from deeprftv2_arch.errors import DataError, OptionError, PreparationError

Store = ImageFolder | ImageDatabase
Size = tuple[int, int]

STORES: dict[str, type[Store]] = {"disk": ImageFolder, "lmdb": ImageDatabase}


class ImagePairDataset(Dataset[dict[str, Any]], ABC):
    """Degraded images (``lq``) with their ground truth (``gt``), from two folders or two LMDBs.

    In training an item is a patch, in the other phases a whole image. Asked with a :class:`PatchRequest`, position
    and turn of the patch follow from its seed; asked with a number, as by BasicSR's own loop, the ``random`` module
    decides and the patch size is that of the first stage. Images of 16 bits keep their depth; grey ones get three
    equal channels.

    Args:
        opt: The data set's section of the option file. ``dataroot_lq``, ``dataroot_gt`` and ``io_backend: {type}``
            (``lmdb`` or ``disk``) say where the images are, ``filename_tmpl`` how a degraded one is called if its
            ground truth is called ``{}``; ``bit_depth: 8`` reads images of 16 bits as 8, by their upper bytes. In the
            phase ``train`` also ``patch_stages``, whose ``patch_size`` is that of the degraded image; ``augment``
            (true, the default: one of the eight flips and turns, each as likely; ``flips``: one of the four that turn
            nothing by a quarter; or false); and ``zero_pad`` (whether images smaller than the largest patch are
            continued by zeros at the bottom and the right; default false).

    Attributes:
        scale: How many times as high and as wide as the degraded image the ground truth is.

    Raises:
        DataError: Images are missing, do not pair, have sizes that do not fit, or are smaller than the largest patch.
            Sizes are checked here where the database knows them, else when the images are read.
        OptionError: An option is missing or malformed.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        self.scale = self.read_scale(opt)
        store = self._store_type(opt)
        roots = [self._root(opt, key) for key in ("dataroot_lq", "dataroot_gt")]
        try:
            self.lq, self.gt = (store(root) for root in roots)
            self.pairs = pair_names(self.lq.names, self.gt.names, opt.get("filename_tmpl", "{}"), *roots)
        except DataError as error:
            raise DataError(f"{_section(opt)}: {error}") from error
        self.is_train = opt["phase"] == "train"
        self.first_patch_size: PatchSize = 0
        self.largest_patch: Size = (0, 0)
        if self.is_train:
            stages = read_stages(opt.get("patch_stages"))
            self.first_patch_size = stages[0].patch_size
            self.ways = self._ways(opt, stages)
            # Of all stages, so that an image that is too small is found at once and not after weeks.
            heights, widths = zip(*(height_and_width(stage.patch_size) for stage in stages), strict=True)
            self.largest_patch = max(heights), max(widths)
        self._check_known_sizes()

    @staticmethod
    @abstractmethod
    def read_scale(opt: Mapping[str, Any]) -> int:
        """Return how many times as high and as wide as the degraded image the ground truth is.

        Raises:
            OptionError: The options do not say it.
        """

    @staticmethod
    def _ways(opt: Mapping[str, Any], stages: Sequence[PatchStage]) -> Sequence[int]:
        """Return the ways of turning that ``augment`` allows."""
        augment = opt.get("augment", True)
        if augment == "flips":
            return FLIPS
        if augment not in (True, False):
            raise OptionError(f"datasets: train: augment: expected true, false or flips, not {augment!r}")
        if augment and any(not isinstance(stage.patch_size, int) for stage in stages):
            raise OptionError("datasets: train: augment: patches that are no squares cannot be turned; set flips")
        return range(WAYS) if augment else (0,)

    @staticmethod
    def _store_type(opt: Mapping[str, Any]) -> type[Store]:
        kind = (opt.get("io_backend") or {}).get("type")
        if kind not in STORES:
            raise OptionError(f"{_section(opt)}: io_backend: type: expected lmdb or disk, not {kind!r}")
        return STORES[kind]

    @staticmethod
    def _root(opt: Mapping[str, Any], key: str) -> Path:
        if not opt.get(key):
            raise OptionError(f"{_section(opt)}: {key}: missing; name the folder or LMDB of the images")
        return Path(opt[key])

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __getitem__(self, request: PatchRequest | int) -> dict[str, Any]:
        """Read one pair.

        Returns:
            ``lq`` (3, H, W) and ``gt`` (3, scale * H, scale * W), float32, RGB in 0..1; ``lq_path`` and ``gt_path``:
            path of the file, or key in the LMDB. In training also ``scheduled``: whether a :class:`PatchRequest` asked
            for the patch.

        Raises:
            DataError: An image is unreadable or too small, or the sizes of the two do not fit.
        """
        asked = request if isinstance(request, PatchRequest) else self._request(request)
        pair = self.pairs[asked.index]
        lq, gt = self._read(pair)
        height, width = lq.shape[:2]
        self._check_sizes(pair, (height, width), gt.shape[:2])
        gt = gt[: self.scale * height, : self.scale * width]
        item: dict[str, Any] = {"lq_path": self.lq.address(pair[0]), "gt_path": self.gt.address(pair[1])}
        if self.is_train:
            item["scheduled"] = asked is request
            lq, gt = self._patch(asked, lq, gt)
        return {"lq": _to_tensor(lq), "gt": _to_tensor(gt), **item}

    def _read(self, pair: tuple[str, str]) -> tuple[Image, Image]:
        """Read and decode both images of a pair."""
        places = [store.place(name) for store, name in zip((self.lq, self.gt), pair, strict=True)]
        files = [store.read(name) for store, name in zip((self.lq, self.gt), pair, strict=True)]
        lq, gt = (self._decoded(data, place) for data, place in zip(files, places, strict=True))
        try:
            require_one_orientation(dict(zip(places, files, strict=True)))
        except PreparationError as error:
            raise DataError(f"{_section(self.opt)}: {error}") from error
        return lq, gt

    def _decoded(self, data: bytes, place: str) -> Image:
        try:
            image = decode(data)
        except PreparationError as error:
            raise DataError(
                f"{_section(self.opt)}: {place} {error}; replace the image or prepare the data again"
            ) from error
        if self.opt.get("bit_depth") == 8 and image.dtype == np.uint16:
            return (image >> 8).astype(np.uint8)
        return image

    def _request(self, index: int) -> PatchRequest:
        """Return what a bare number asks for: in training, any patch of the first stage."""
        # Whole images draw nothing, so that validation does not move the generator of the training.
        seed = random.getrandbits(64) if self.is_train else 0
        return PatchRequest(index, self.first_patch_size, seed)

    def _patch(self, request: PatchRequest, lq: Image, gt: Image) -> tuple[Image, Image]:
        """Cut the patch that is asked for out of both images and turn it, both alike."""
        size = height_and_width(request.patch_size)
        if self.opt.get("zero_pad"):
            lq, gt = _continued(lq, self.largest_patch, 1), _continued(gt, self.largest_patch, self.scale)
        choose = random.Random(request.seed).randrange
        top, left = (choose(length - side + 1) for length, side in zip(lq.shape[:2], size, strict=True))
        way = self.ways[choose(len(self.ways))] if len(self.ways) > 1 else 0

        def cut(image: Image, scale: int) -> Image:
            rows, columns = (slice(scale * at, scale * (at + side)) for at, side in zip((top, left), size, strict=True))
            return turned(image[rows, columns], way)

        return cut(lq, 1), cut(gt, self.scale)

    def _check_known_sizes(self) -> None:
        """Check all sizes that the databases state; the first fault is told whole, of the others the names."""
        faults: dict[str, DataError] = {}
        for pair in self.pairs:
            if pair[0] in self.lq.sizes and pair[1] in self.gt.sizes:
                try:
                    self._check_sizes(pair, self.lq.sizes[pair[0]], self.gt.sizes[pair[1]])
                except DataError as error:
                    faults[pair[0]] = error
        if faults:
            (_, first), *others = faults.items()
            more = ", ".join(name for name, _ in others[:SHOWN]) + (", ..." if len(others) > SHOWN else "")
            raise DataError(f"{first}; the same holds for {len(others)} more: {more}" if others else str(first))

    def _check_sizes(self, pair: tuple[str, str], lq: Size, gt: Size) -> None:
        """Refuse two sizes, (height, width), that do not fit each other or the patches."""
        height, width = self.scale * lq[0], self.scale * lq[1]
        # Test sets as published keep the rows and columns that are no whole pixel of the low resolution.
        spare = 0 if self.is_train else self.scale - 1
        if not (0 <= gt[0] - height <= spare and 0 <= gt[1] - width <= spare):
            more = f", or up to {spare} pixels more, which are cut off at the right and the bottom" if spare else ""
            raise DataError(
                f"{_section(self.opt)}: {self.lq.place(pair[0])} is {_text(lq)}, {self.gt.place(pair[1])} is "
                f"{_text(gt)}; at scale {self.scale} the second must be {_text((height, width))}{more}"
            )
        too_small = any(length < side for length, side in zip(lq, self.largest_patch, strict=True))
        if too_small and not self.opt.get("zero_pad"):
            raise DataError(
                f"{_section(self.opt)}: {self.lq.place(pair[0])} is {_text(lq)}, smaller than the patch of "
                f"{_text(self.largest_patch)}; remove the image, choose a smaller patch_size or set zero_pad: true"
            )


class DeblurPairDataset(ImagePairDataset):
    """Blurred images (``lq``) with their sharp ones (``gt``), both of one size.

    Two LMDBs, as ``python -m datasets_prep`` makes them, or two folders, in which images may lie at any depth::

        datasets/GoPro/train
        ├── blur.lmdb                      dataroot_lq, with io_backend: {type: lmdb}
        │   ├── data.mdb
        │   └── meta_info.txt
        └── sharp.lmdb                     dataroot_gt
            ├── data.mdb
            └── meta_info.txt

        datasets/GoPro/test
        ├── blur                           dataroot_lq, with io_backend: {type: disk}
        │   └── GOPR0384_11_00/000001.png
        └── sharp                          dataroot_gt
            └── GOPR0384_11_00/000001.png

    Everything else is said of :class:`ImagePairDataset`.
    """

    @staticmethod
    def read_scale(opt: Mapping[str, Any]) -> int:
        """Return 1, whatever the options say."""
        return 1


class SuperResolutionPairDataset(ImagePairDataset):
    """Images of low resolution (``lq``) with those of high resolution (``gt``).

    Two LMDBs, as ``python -m datasets_prep`` makes them, or two folders, in which images may lie at any depth::

        datasets/DF2K/train
        ├── LRx2.lmdb                      dataroot_lq, with io_backend: {type: lmdb} and scale: 2
        │   ├── data.mdb
        │   └── meta_info.txt
        └── HR.lmdb                        dataroot_gt, the same for all scales
            ├── data.mdb
            └── meta_info.txt

        datasets/Set5
        ├── LR_bicubic/X2                  dataroot_lq, with io_backend: {type: disk} and filename_tmpl: '{}x2'
        │   └── babyx2.png
        └── HR                             dataroot_gt
            └── baby.png

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
                f"{_section(opt)}: expected scale, a whole number from 1 on, at the top of the option file, not "
                f"{scale!r}"
            )
        return scale


def _section(opt: Mapping[str, Any]) -> str:
    """Name a data set in a message: its phase, and its own name where there may be several of that phase."""
    return f"datasets: {opt['phase']}" + (f": {opt['name']}" if opt.get("name") else "")


def _continued(image: Image, size: Size, scale: int) -> Image:
    """Append zeros at the bottom and the right, up to ``scale`` times the size."""
    missing = [max(0, scale * side - length) for side, length in zip(size, image.shape[:2], strict=True)]
    return np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)]) if any(missing) else image


def _text(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


def _to_tensor(image: Image) -> Tensor:
    """Turn (H, W, 3) BGR of 8 or 16 bits into (3, H, W) RGB, float32 in 0..1."""
    planes = image[:, :, ::-1].transpose(2, 0, 1).astype(np.float32, order="C")
    return torch.from_numpy(planes) / np.iinfo(image.dtype).max
