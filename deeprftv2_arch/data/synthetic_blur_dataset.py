"""Pairs of blurred and sharp images that are made from sharp photographs alone, while they are asked for."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from deeprftv2_arch.common.images import decode
from deeprftv2_arch.data.image_stores import ImageDatabase, ImageFolder
from deeprftv2_arch.data.patches import FLIPS, WAYS, PatchRequest, height_and_width, read_stages, turned
from deeprftv2_arch.data.synthetic_blur import (
    BlurSettings,
    Curriculum,
    Image,
    draw_exposure,
    expose,
    expose_photograph,
    shrunk,
)
from deeprftv2_arch.errors import DataError, OptionError, PreparationError

Place = tuple[float, float]  # top, left

STORES: dict[str, type[ImageFolder | ImageDatabase]] = {"disk": ImageFolder, "lmdb": ImageDatabase}

# First entries of numpy's spawn keys; 0 and 1 are those of ProgressiveBatchSampler.
_TRAIN, _EVALUATION = 2, 3


_FLAT = 2.0  # mean difference of neighbours, in levels of 255, from which on a crop has detail


class SyntheticBlurDataset(Dataset[dict[str, Any]]):
    """Blurred (``lq``) and sharp (``gt``) images from a folder or an LMDB of sharp photographs.

    Every pair is a function of the seed, the phase and its number alone, whatever the number of workers and processes.
    In training an item is a patch, asked for by a :class:`PatchRequest`, or by a number, which gives a patch of the
    first stage. In the other phases it is a whole photograph, shrunk by the settings' ``resample``.

    Args:
        opt: The data set's section of the option file. ``dataroot_gt`` and ``io_backend: {type}`` (``lmdb`` or
            ``disk``) say where the photographs are; ``blur`` holds what differs from :class:`BlurSettings`; ``seed``
            (default 0) decides what is drawn for bare numbers; ``pairs`` is the number of pairs (default: one for every
            photograph); ``cache_mb`` (default 0) is how much memory every worker may use to keep decoded photographs.
            In the phase ``train`` also ``patch_stages``; ``crop_tries`` (default 4), how many places are looked at for
            a patch that has detail; and ``curriculum``, a :class:`Curriculum` (default: none).

    Raises:
        DataError: There are no photographs.
        OptionError: An option is missing or malformed.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        kind = (opt.get("io_backend") or {}).get("type")
        where = f"datasets: {opt['phase']}: {opt.get('name')}"
        if kind not in STORES:
            raise OptionError(f"{where}: io_backend: type: expected lmdb or disk, not {kind!r}")
        if not opt.get("dataroot_gt"):
            raise OptionError(f"{where}: dataroot_gt: missing; name the folder of the photographs")
        root = Path(opt["dataroot_gt"])
        if not root.is_dir():
            raise DataError(
                f"{where}: dataroot_gt: there is no such folder as {root}; name one of sharp photographs of yours (for "
                "blurred and sharp ones take type: DeblurPairDataset and python -m datasets_prep pairs)"
            )
        try:
            self.photographs = STORES[kind](root)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        self.settings = blur_settings(opt.get("blur"))
        self.is_train = opt["phase"] == "train"
        self.first_patch_size = read_stages(opt.get("patch_stages"))[0].patch_size if self.is_train else 0
        self._cache = _ImageCache(int(opt.get("cache_mb", 0) * 2**20))

    def __len__(self) -> int:
        """Return number of pairs."""
        return int(self.opt.get("pairs") or len(self.photographs.names))

    def __getitem__(self, request: PatchRequest | int) -> dict[str, Any]:
        """Make one pair.

        Returns:
            ``lq`` and ``gt``: (3, H, W) float32, RGB in 0..1; ``lq_path`` and ``gt_path``: path of the photograph's
            file, or its key in the LMDB. In training also ``scheduled``: whether a :class:`PatchRequest` asked for the
            pair.

        Raises:
            DataError: A photograph is unreadable.
        """
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # the workers themselves are the threads
        asked = request if isinstance(request, PatchRequest) else self._request(request)
        name = self.photographs.names[asked.index % len(self.photographs.names)]
        address = self.photographs.address(name)
        rng = np.random.default_rng(asked.seed)
        if self.is_train:
            blurred, sharp = self._patch(asked, self._read(name), rng)
        else:
            blurred, sharp, _ = expose_photograph(self.settings, rng, self._read(name))
        item = {"lq": _to_tensor(blurred), "gt": _to_tensor(sharp), "lq_path": address, "gt_path": address}
        return item | ({"scheduled": asked is request} if self.is_train else {})

    def longest_path(self, number: int) -> float:
        """Longest path in pixels of the training's pair of that number."""
        longest = self.settings.path[1]
        if not self.opt.get("curriculum"):
            return longest
        curriculum = Curriculum(**self.opt["curriculum"])
        progress = min(1.0, number / curriculum.pairs)
        return curriculum.longest + progress * (longest - curriculum.longest)

    def _request(self, number: int) -> PatchRequest:
        """Return what a bare number asks for."""
        stream = _TRAIN if self.is_train else _EVALUATION
        sequence = np.random.SeedSequence(self.opt.get("seed", 0), spawn_key=(stream, number))
        return PatchRequest(number, self.first_patch_size, int(sequence.generate_state(1, np.uint64)[0]), number)

    def _patch(self, request: PatchRequest, photograph: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        """Shrink a photograph, cut a patch with detail out of it and blur it."""
        height, width = height_and_width(request.patch_size)
        have = photograph.shape[:2]
        # A photograph that would become smaller than the patch is shrunk less.
        factor = min(1.0, max(rng.uniform(*self.settings.resample), height / have[0], width / have[1]))
        rows, columns = have[0] * factor, have[1] * factor

        def anywhere() -> Place:
            return rng.uniform(0, max(0, rows - height)), rng.uniform(0, max(0, columns - width))

        def cut(at: Place, margin: int) -> Image:
            return _cut(photograph, at, (height, width), factor, margin)

        tries = [anywhere() for _ in range(int(self.opt.get("crop_tries", 4)))]
        top, left = next((at for at in tries if _has_detail(cut(at, 0))), tries[-1])
        frame = (columns - 1) / 2 - left, (rows - 1) / 2 - top, float(np.hypot(rows, columns) / 2)
        exposure = draw_exposure(self.settings, rng, height, width, frame, self.longest_path(request.number))
        textures = [cut(anywhere(), exposure.margin) for _ in exposure.objects]
        blurred, sharp = expose(exposure, cut((top, left), exposure.margin), textures)
        way = int(rng.integers(WAYS)) if height == width else int(rng.choice(FLIPS))
        return turned(blurred, way), turned(sharp, way)

    def _read(self, name: str) -> Image:
        image = self._cache.get(name)
        if image is None:
            try:
                image = decode(self.photographs.read(name))
            except PreparationError as error:
                raise DataError(f"{self.photographs.place(name)} {error}; replace the photograph") from error
            image = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
            self._cache.put(name, image)
        return image


class _ImageCache:
    """Decoded images by name, of which those least recently used are dropped; holds up to ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._images: OrderedDict[str, Image] = OrderedDict()
        self._used = 0

    def get(self, name: str) -> Image | None:
        if name in self._images:
            self._images.move_to_end(name)
        return self._images.get(name)

    def put(self, name: str, image: Image) -> None:
        self._images[name] = image
        self._used += image.nbytes
        while self._used > self.size:
            self._used -= self._images.popitem(last=False)[1].nbytes


def blur_settings(options: Mapping[str, Any] | None) -> BlurSettings:
    """Read the option ``blur``.

    Raises:
        OptionError: There is no such setting, or its value is out of range.
    """
    try:
        return BlurSettings(**(options or {}))
    except TypeError as error:
        raise OptionError(f"synthetic blur: {error}; the settings are those of BlurSettings") from error


def _cut(photograph: Image, at: Place, size: tuple[int, int], factor: float, margin: int) -> Image:
    """Cut a region out of a photograph and shrink it.

    Args:
        photograph: (H, W, 3).
        at: (top, left) of the region in pixels of the shrunk photograph.
        size: (height, width) of the region without its margin.
        factor: By which the photograph is shrunk, up to 1.
        margin: Pixels around the region; beyond the photograph's border lies its mirror image.

    Returns:
        (height + 2 margin, width + 2 margin, 3).
    """
    slices, missing = [], []
    for start, side, have in zip(at, size, photograph.shape[:2], strict=True):
        first = round((start - margin) / factor)
        last = first + round((side + 2 * margin) / factor)
        slices.append(slice(max(0, first), min(have, last)))
        missing.append((max(0, -first), max(0, last - have)))
    region = photograph[slices[0], slices[1]]
    if np.any(missing):
        region = np.pad(region, [*missing, (0, 0)], mode="reflect")
    return shrunk(region, size[0] + 2 * margin, size[1] + 2 * margin)


def _has_detail(image: Image) -> bool:
    """Whether the mean difference of neighbouring pixels of the green channel is more than that of flat regions."""
    green = image[:, :, 1].astype(np.int16)
    return bool(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean() > 2 * _FLAT)


def _to_tensor(image: Image) -> Tensor:
    """(H, W, 3) BGR of 8 bits -> (3, H, W) RGB, float32 in 0..1."""
    return torch.from_numpy(image[:, :, ::-1].transpose(2, 0, 1).astype(np.float32, order="C")) / 255
