"""Pairs of blurred and sharp pictures for training and evaluation."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datasets_prep.errors import PreparationError
from datasets_prep.pictures import Image, decode
from deeprftv2_arch.data import dihedral
from deeprftv2_arch.data.pairing import pair_names
from deeprftv2_arch.data.patch_stages import read_stages
from deeprftv2_arch.data.picture_stores import PictureDatabase, PictureFolder
from deeprftv2_arch.data.progressive_sampler import PatchRequest
from deeprftv2_arch.errors import DataError, OptionError

Store = PictureFolder | PictureDatabase

STORES: dict[str, type[Store]] = {"disk": PictureFolder, "lmdb": PictureDatabase}


class DeblurPairDataset(Dataset[dict[str, Any]]):
    """Blurred pictures (``lq``) with their sharp ones (``gt``), from two folders or two LMDBs.

        datasets/GoPro/train/blur.lmdb/{data.mdb, meta_info.txt}     sharp.lmdb/{data.mdb, meta_info.txt}
        datasets/GoPro/train/blur/<sequence>/<frame>.png             sharp/<sequence>/<frame>.png

    In training an item is a patch, in the other phases a whole picture. Asked with a :class:`PatchRequest`, position
    and turn of the patch follow from its seed; asked with a number, as by BasicSR's own loop, the ``random`` module
    decides and the patch size is that of the first stage. Pictures of 16 bits keep their depth; grey ones get three
    channels.

    Args:
        opt: The data set's section of the option file. ``dataroot_lq``, ``dataroot_gt`` and ``io_backend: {type}``
            (``lmdb`` or ``disk``) say where the pictures are, ``filename_tmpl`` how a blurred one is called if the
            sharp one is called ``{}``. In the phase ``train`` also ``patch_stages`` and ``augment`` (one of the eight
            flips and turns, each as likely; default true).

    Raises:
        DataError: Pictures are missing, do not pair, or are smaller than the largest patch.
        OptionError: An option is missing or malformed.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        store = self._store_type(opt)
        self.blurred, self.sharp = (store(self._root(opt, key)) for key in ("dataroot_lq", "dataroot_gt"))
        self.pairs = pair_names(
            self.blurred.names, self.sharp.names, opt.get("filename_tmpl", "{}"), self.blurred.root, self.sharp.root
        )
        self.is_train = opt["phase"] == "train"
        self.first_patch_size = 0
        if self.is_train:
            stages = read_stages(opt.get("patch_stages"))
            self.first_patch_size = stages[0].patch_size
            self.largest_patch_size = max(stage.patch_size for stage in stages)
            for side in (self.blurred, self.sharp):
                for name, size in side.sizes.items():
                    _require_room(side.place(name), size, self.largest_patch_size)

    @staticmethod
    def _store_type(opt: Mapping[str, Any]) -> type[Store]:
        kind = (opt.get("io_backend") or {}).get("type")
        if kind not in STORES:
            raise OptionError(f"datasets: {opt.get('name')}: io_backend: type: expected lmdb or disk, not {kind!r}")
        return STORES[kind]

    @staticmethod
    def _root(opt: Mapping[str, Any], key: str) -> Path:
        if not opt.get(key):
            raise OptionError(f"datasets: {opt.get('name')}: {key}: missing; name the folder or LMDB of the pictures")
        return Path(opt[key])

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def __getitem__(self, request: PatchRequest | int) -> dict[str, Any]:
        """Read one pair.

        Returns:
            ``lq`` and ``gt``: (3, H, W), float32, RGB in 0..1; ``lq_path`` and ``gt_path``: path of the file, or key in
            the LMDB. In training also ``scheduled``: whether a :class:`PatchRequest` asked for the patch.

        Raises:
            DataError: A picture is unreadable or too small, or the two differ in size.
        """
        asked = request if isinstance(request, PatchRequest) else self._request(request)
        blurred_name, sharp_name = self.pairs[asked.index]
        blurred, sharp = _decode(self.blurred, blurred_name), _decode(self.sharp, sharp_name)
        if blurred.shape != sharp.shape:
            raise DataError(
                f"{self.blurred.place(blurred_name)} is {_size(blurred)}, {self.sharp.place(sharp_name)} is "
                f"{_size(sharp)}; blurred and sharp pictures must have one size"
            )
        item: dict[str, Any] = {
            "lq_path": self.blurred.address(blurred_name),
            "gt_path": self.sharp.address(sharp_name),
        }
        if self.is_train:
            item["scheduled"] = asked is request
            blurred, sharp = self._patch(asked, blurred, sharp)
        return {"lq": _to_tensor(blurred), "gt": _to_tensor(sharp), **item}

    def _request(self, index: int) -> PatchRequest:
        """Return what a bare number asks for: in training, any patch of the first stage."""
        # Whole pictures draw nothing, so that validation does not move the generator of the training.
        seed = random.getrandbits(64) if self.is_train else 0
        return PatchRequest(index, self.first_patch_size, seed)

    def _patch(self, request: PatchRequest, blurred: Image, sharp: Image) -> tuple[Image, Image]:
        """Cut the patch that is asked for out of both pictures and turn it, both alike."""
        height, width = blurred.shape[:2]
        size = request.patch_size
        # Of the largest stage, so that a small picture in a folder is found at once and not after weeks.
        _require_room(self.blurred.place(self.pairs[request.index][0]), (height, width), self.largest_patch_size)
        choose = random.Random(request.seed).randrange
        top, left = choose(height - size + 1), choose(width - size + 1)
        way = choose(dihedral.COUNT) if self.opt.get("augment", True) else 0

        def cut(picture: Image) -> Image:
            return dihedral.turned(picture[top : top + size, left : left + size], way)

        return cut(blurred), cut(sharp)


def _decode(store: Store, name: str) -> Image:
    try:
        return decode(store.read(name))
    except PreparationError as error:
        raise DataError(f"{store.place(name)} {error}; replace the picture or prepare the data again") from error


def _require_room(where: str, size: tuple[int, int], patch_size: int) -> None:
    if min(size) < patch_size:
        raise DataError(
            f"{where} is {size[1]}x{size[0]}, smaller than the patch of {patch_size}x{patch_size}; "
            "remove the picture or choose a smaller patch_size"
        )


def _size(picture: Image) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _to_tensor(picture: Image) -> Tensor:
    """(H, W, 3) BGR, 8 or 16 bits -> (3, H, W) RGB, float32 in 0..1."""
    planes = picture[:, :, ::-1].transpose(2, 0, 1).astype(np.float32, order="C")
    return torch.from_numpy(planes) / np.iinfo(picture.dtype).max
