"""Restoring images of any kind and any size with a trained network."""

import logging
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from deeprftv2_arch.checkpoints.building import network_of_checkpoint
from deeprftv2_arch.checkpoints.recognition import NO_NETWORK_OF_OURS, describe, name_of
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.common.kept_memory import give_back
from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.layers.tiling import TileGrid, run_in_tiles
from deeprftv2_arch.networks.protocol import TiledNetwork, traits_of
from deeprftv2_arch.restoring.conversion import check_image, to_image, to_samples, to_tensor, with_alpha
from deeprftv2_arch.restoring.devices import find_device, lacking_operator
from deeprftv2_arch.restoring.image_files import MAX_PIXELS, Picture, read_image
from deeprftv2_arch.restoring.image_kinds import Announced
from deeprftv2_arch.restoring.kernels import estimated_kernels, middle
from deeprftv2_arch.restoring.loading import network_of_options
from deeprftv2_arch.restoring.memory import (
    NOTHING_BESIDE,
    budget,
    image_bytes,
    is_out_of_memory,
    parse_bytes,
    reading_bytes,
    require_within,
    smallest_bytes,
    tiles_that_fit,
    writing_bytes,
)
from deeprftv2_arch.restoring.pillow_images import from_pil, is_pil_image, to_pil
from deeprftv2_arch.restoring.pretrained import pretrained_file
from deeprftv2_arch.restoring.tiles import Tiles, check_tiles, halved, tiles_of

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

KERNEL_WINDOW = 256  # pixels
MOMENT = 2.0  # seconds after which a bar shows how many tiles are done

Result = TypeVar("Result")
Part = TypeVar("Part")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restored:
    """What became of an image.

    Attributes:
        image: The restored image.
        tiles: The tiles in which it was restored; None: whole.
    """

    image: AnyImage
    tiles: Tiles | None


class Restorer:
    """Deblurs images, or enlarges them, with a trained network.

    >>> import numpy as np
    >>> from deeprftv2_arch import Restorer
    >>> restorer = Restorer.from_checkpoint("net_g_latest.pth")
    >>> blurred = np.full((30, 41, 3), 128, np.uint8)  # RGB; a path or a tensor will do as well
    >>> restored = restorer(blurred)
    >>> restored.shape, restored.dtype
    ((30, 41, 3), dtype('uint8'))

    An image is restored whole if it fits into the memory, otherwise in tiles, which overlap and are blended. The
    result depends somewhat on their size, since the networks estimate kernels from the spectrum of what they see at
    once.

    Args:
        network: Maps (1, 3, H, W), RGB in 0..1 and of any size, to (1, 3, s H, s W); s is its ``upscale``, or 1.
        device: Where it is to work; the GPU by default, if there is one.
        tile: Size and overlap of the tiles for larger images, in pixels of the input; by default as few as possible.
        memory_limit: The most bytes to take, also as "3G" or "500M": resident memory of the whole process or, on a GPU,
            tensors on it. By default 80 % of what is free. How much a tile takes is estimated from measurements.
        max_pixels: The most pixels of a file that is decoded.
        dtype: In what the network computes where that loses little: float32, or bfloat16 (on any device) or float16 (on
            a GPU), by PyTorch's autocast. Spectra and scans stay in float32.

    Attributes:
        progress: Whether a bar shows how many tiles of an image are done; False at first.

    Raises:
        OptionError: There are no such tiles, no such limits or no such device, or both tiles and a limit of the memory
            are given.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device | str | None = None,
        tile: tuple[int, int] | None = None,
        memory_limit: int | str | None = None,
        max_pixels: int = MAX_PIXELS,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if tile is not None and memory_limit is not None:
            raise OptionError("tile and memory_limit: give one of them, since the limit chooses the tiles")
        self.device = find_device(device)
        self.network = network.to(self.device).eval()
        self.upscale = traits_of(network).upscale
        self.tile = None if tile is None else check_tiles(tile)
        self.memory_limit = None if memory_limit is None else parse_bytes(memory_limit)
        if max_pixels < 1:
            raise OptionError(f"max_pixels: expected a number above 0, got {max_pixels}")
        self.max_pixels = max_pixels
        self.dtype = _precision(dtype, self.device)
        self.progress = False
        # Size of tiles that fitted after larger ones had not, so that no later image fails in those first.
        self._largest: int | None = None
        self._seconds_per_pixel: float | None = None  # of the last run of the network

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Path | str,
        *,
        device: torch.device | str | None = None,
        tile: tuple[int, int] | None = None,
        memory_limit: int | str | None = None,
        max_pixels: int = MAX_PIXELS,
        dtype: torch.dtype = torch.float32,
    ) -> "Restorer":
        """Build from trained weights alone: which network they are of is found from their names and shapes.

        Args:
            checkpoint: A file with weights of a DeepRFTv2, an ATD with or without estimators, or a UFPNet.
            device: See the class, as for the other arguments.
            tile: See the class.
            memory_limit: See the class.
            max_pixels: See the class.
            dtype: See the class.

        Raises:
            CheckpointError: The file cannot be read, or its weights belong to no network of this package.
            OptionError: See the class.
        """
        return cls(network_of_checkpoint(Path(checkpoint)), device, tile, memory_limit, max_pixels, dtype)

    @classmethod
    def from_options(
        cls,
        option_file: Path | str,
        checkpoint: Path | str,
        *,
        device: torch.device | str | None = None,
        tile: tuple[int, int] | None = None,
        memory_limit: int | str | None = None,
        max_pixels: int = MAX_PIXELS,
        dtype: torch.dtype = torch.float32,
    ) -> "Restorer":
        """Build the network of an option file for training or testing, with the weights in a file.

        The file also tells what weights do not, such as ``train_size``. A DeepRFTv2's ``tile`` holds unless there is
        another here, or a memory limit.

        Raises:
            OptionError: The option file cannot be read or its network refuses an argument; see also the class.
            CheckpointError: The weights cannot be read or do not fit.
        """
        network = network_of_options(Path(option_file), Path(checkpoint))
        # An ATD keeps its own tiles inside of those here: its estimators know the spectra of such windows alone.
        traits = traits_of(network)
        if isinstance(network, TiledNetwork) and traits.tile is not None and not traits.keeps_tiles:
            if tile is None and memory_limit is None:
                tile = (traits.tile, traits.tile_overlap)
            network.use_tiles(None)
        return cls(network, device, tile, memory_limit, max_pixels, dtype)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: Path | str | None = None,
        *,
        device: torch.device | str | None = None,
        tile: tuple[int, int] | None = None,
        memory_limit: int | str | None = None,
        max_pixels: int = MAX_PIXELS,
        dtype: torch.dtype = torch.float32,
    ) -> "Restorer":
        """Build from weights that come with this package, or from a file as ``from_checkpoint`` does.

        Args:
            name_or_path: A name of ``restoring.pretrained.PRETRAINED``, by default the first one, or a file.
            device: See the class, as for the other arguments.
            tile: See the class.
            memory_limit: See the class.
            max_pixels: See the class.
            dtype: See the class.

        Raises:
            CheckpointError: It is neither such a name nor a file, or no weights come with this package; see also
                ``from_checkpoint``.
            OptionError: See the class.
        """
        network = network_of_checkpoint(pretrained_file(name_or_path))
        return cls(network, device, tile, memory_limit, max_pixels, dtype)

    def __repr__(self) -> str:
        """Say which network restores, where and in what precision."""
        kind = describe(self.network.state_dict())
        name = name_of(self.network) if kind == NO_NETWORK_OF_OURS else kind
        tiles = f", {self.tile}" if self.tile else ""
        return f"<Restorer: {name}, on {self.device} in {str(self.dtype).removeprefix('torch.')}{tiles}>"

    @overload
    def __call__(self, image: Path | str) -> AnyImage: ...

    @overload
    def __call__(self, image: AnyImage) -> AnyImage: ...

    @overload
    def __call__(self, image: Tensor) -> Tensor: ...

    @overload
    def __call__(self, image: "PilImage") -> "PilImage": ...

    def __call__(self, image: "Path | str | AnyImage | Tensor | PilImage") -> "AnyImage | Tensor | PilImage":
        """Restore one image, or each of a batch.

        Args:
            image: One of

                * the path of an image, which is turned upright as its Exif data say,
                * a NumPy array (H, W) or (H, W, 1), grey, (H, W, 2), grey with alpha, (H, W, 3), RGB, or (H, W, 4), RGB
                  with alpha, of uint8, uint16, or floating point in 0..1,
                * a tensor (C, H, W) or (B, C, H, W) of the same channels and types, on any device,
                * an image of Pillow, of mode 1, L, LA, P, RGB, RGBA, I;16 or F (in 0..1).

                On a GPU the images of a batch are restored in one pass, as far as they fit into the memory.

        Returns:
            The same kind, shape but for the enlargement, type and device; of a path an array as its file is stored; of
            modes 1 and P, and where a colour is transparent, images of modes L, LA, RGB or RGBA. An image of Pillow has
            the ``info`` of the given one, such as its profile.
            Floats are clamped to 0..1. Grey comes back as grey; alpha as it was, or enlarged bicubically.

        Raises:
            DataError: The image is none of these, cannot be read, does not fit into the memory even in small tiles,
                or the network makes something of it that is not finite.
        """
        if isinstance(image, Tensor):
            return self._restore_tensor(image)
        if isinstance(image, np.ndarray):
            return self.restore(image).image
        if isinstance(image, str | Path):
            return self.restore(self.read(Path(image)).image).image
        if is_pil_image(image):
            return to_pil(self.restore(from_pil(image)).image, image)
        raise DataError(
            f"an image is a path, a NumPy array, a tensor or an image of Pillow, not a {type(image).__name__}"
        )

    def _restore_tensor(self, images: Tensor) -> Tensor:
        if images.dim() not in (3, 4) or not 1 <= images.shape[-3] <= 4 or not images.numel():
            shape = tuple(images.shape)
            raise DataError(f"a tensor of images is (C, H, W) or (B, C, H, W) with 1 to 4 channels, not {shape}")
        if images.dim() == 3:
            return self._restore_tensor(images[None])[0]
        arrays = [_as_array(image) for image in images]
        for array in arrays:
            check_image(array)
        restored = self._restore_batch(torch.cat([to_tensor(array) for array in arrays]))
        results = [to_image(one[None], array) for one, array in zip(restored, arrays, strict=True)]
        channels_first = torch.stack([torch.from_numpy(result).permute(2, 0, 1) for result in results])
        return channels_first.to(images.device, images.dtype)

    @torch.no_grad()
    def _restore_batch(self, x: Tensor) -> Tensor:
        """Restore (B, 3, H, W) in one pass where that is faster and fits into the memory, else one after the other."""
        if len(x) > 1 and self._takes_batches():
            height, width = x.shape[2:]
            at_once = self._first_tiles(height * len(x), width, self.tile)  # as much memory as an image so high takes
            if at_once is None or max(height, width) <= at_once.size:
                restored = _unless_out_of_memory(lambda _: self._tensor_of(x, None), None)
                if restored is not None:
                    return _require_finite(restored)
        return torch.cat([self.restore_tensor(one[None])[0] for one in x])

    def _takes_batches(self) -> bool:
        return self.device.type == "cuda"  # a CPU is busy with one image

    @torch.no_grad()
    def restore(self, image: AnyImage, tiles: Tiles | None = None) -> Restored:
        """Restore one image, and say in which tiles.

        Args:
            image: A NumPy array as above.
            tiles: Where to begin; by default the tiles that were asked for, or as large ones as the memory allows.

        Raises:
            DataError: See above.
        """
        check_image(image)
        height, width = image.shape[:2]
        samples, used = self._restore_fitting(
            height, width, tiles, lambda tried: self._samples_of(image, tried), image[0, 0].nbytes
        )
        return Restored(with_alpha(samples, image), used)

    def _samples_of(self, image: AnyImage, tiles: Tiles | None) -> AnyImage:
        """Restore an image and drop its alpha; in tiles, only a strip of them is there as numbers for the network."""
        height, width = image.shape[:2]
        if tiles is None or max(height, width) <= tiles.size:
            return to_samples(_require_finite(self._run(to_tensor(image))), image)
        grid = TileGrid((height, width), tiles.size, tiles.overlap)
        places = self._watched(list(grid.places()))
        rows = grid.stitched_rows((self._run(to_tensor(image[place])) for place in places), self.upscale)
        result: AnyImage | None = None
        top = 0
        for part in rows:
            samples = to_samples(_require_finite(part), image)
            if result is None:
                result = np.empty((self.upscale * height, *samples.shape[1:]), samples.dtype)
            result[top : top + len(samples)] = samples
            top += len(samples)
        return cast(AnyImage, result)

    def read(self, path: Path) -> Picture:
        """Read an image that is to be restored here.

        Args:
            path: The file.

        Raises:
            DataError: It cannot be read, has too many pixels, or would take more than the memory limit, of which its
                header tells.
        """
        return read_image(path, self.max_pixels, self._require_memory)

    def _require_memory(self, path: Path, says: Announced, file_bytes: int) -> None:
        if self.memory_limit is None or self.device.type == "cuda":
            return
        pixels = says.height * says.width
        beside = image_bytes(says.height, says.width, self.upscale, says.pixel_bytes)
        restoring = pixels * says.pixel_bytes + beside.result + smallest_bytes(self.network, beside)
        needed = max(
            reading_bytes(pixels, says.pixel_bytes, file_bytes),
            restoring,
            writing_bytes(pixels, says.pixel_bytes, self.upscale),
        )
        require_within(self.memory_limit, needed, f"{path}: an image of {says.width}x{says.height}")

    def frames(self, images: Iterable[AnyImage]) -> Generator[tuple[AnyImage, Restored], None, None]:
        """Restore the frames of a video, all in the tiles of the first one, so that nothing flickers.

        Args:
            images: NumPy arrays as above, of one size.

        Yields:
            Every frame, and what it is restored to.
        """
        tiles = None
        for image in images:
            restored = self.restore(image, tiles)
            yield image, restored
            tiles = restored.tiles or Tiles(max(image.shape[:2]), 0)

    @torch.no_grad()
    def seconds_for(self, height: int, width: int) -> float:
        """Estimate how long an image of this size will take, from the last run or, before the first, from a small one.

        A network that runs for the first time, or on a size for the first time, may take longer.
        """
        if self._seconds_per_pixel is None:
            side = min(KERNEL_WINDOW // 2, height, width)
            for _ in range(2):  # what the first one loads and compiles does not count
                self._run(torch.zeros(1, 3, side, side))
        again = 1.0
        if self.tile is not None and max(height, width) > self.tile.size:
            again = (self.tile.size / (self.tile.size - self.tile.overlap)) ** 2
        return (self._seconds_per_pixel or 0.0) * height * width * again

    @torch.no_grad()
    def kernels(
        self, image: "Path | str | AnyImage | Tensor | PilImage", tiles: Tiles | None = None
    ) -> NDArray[np.float32]:
        """Return the blur kernels that the network estimates in the middle of an image.

        Args:
            image: A path, a NumPy array, a tensor (C, H, W) or (1, C, H, W), or an image of Pillow, as above.
            tiles: Those in which the image was restored, whose kernels are to be seen; by default those that were
                asked for, if any.

        Returns:
            (C, h, w), those of the last estimator, one for every channel of its features, zero lag in the corner; h and
            w are about those of the middle, at most 256, or the size of the tiles where these are smaller.

        Raises:
            OptionError: The network has no estimators.
            DataError: The image is none of these, or cannot be read.
        """
        if isinstance(image, str | Path):
            image = self.read(Path(image)).image
        elif isinstance(image, Tensor):
            if image.dim() not in (3, 4) or (image.dim() == 4 and len(image) != 1):
                raise DataError(f"kernels are of one image, (C, H, W) or (1, C, H, W), not {tuple(image.shape)}")
            image = _as_array(image if image.dim() == 3 else image[0])
        array = from_pil(image) if is_pil_image(image) else cast(AnyImage, image)
        check_image(array)
        tiles = tiles or self.tile
        sizes = [KERNEL_WINDOW, tiles and tiles.size, traits_of(self.network).tile]
        x = middle(to_tensor(array), min(size for size in sizes if size))
        return estimated_kernels(self.network, lambda: self._run(x))

    @torch.no_grad()
    def restore_tensor(self, x: Tensor, tiles: Tiles | None = None) -> tuple[Tensor, Tiles | None]:
        """Restore one image (1, 3, H, W), float32 in 0..1 on the CPU, in as large tiles as the memory allows.

        Args:
            x: The image.
            tiles: Where to begin, see :meth:`restore`.

        Returns:
            (1, 3, s H, s W) on the CPU, not clamped; and its tiles, None: whole.

        Raises:
            DataError: It does not fit into the memory even in small tiles, or becomes something that is not finite.
        """
        height, width = x.shape[2:]
        restored, used = self._restore_fitting(height, width, tiles, lambda tried: self._tensor_of(x, tried))
        return _require_finite(restored), used

    def _restore_fitting(
        self,
        height: int,
        width: int,
        tiles: Tiles | None,
        restore: Callable[[Tiles | None], Result],
        pixel_bytes: int | None = None,
    ) -> tuple[Result, Tiles | None]:
        """Restore an image in smaller and smaller tiles until the memory is enough.

        Args:
            height: Of the image.
            width: Of the image.
            tiles: Where to begin, see :meth:`restore`.
            restore: Restores it in such tiles; None: whole.
            pixel_bytes: See :func:`image_bytes`.

        Returns:
            What that returns, and the tiles.
        """
        tried = self._first_tiles(height, width, tiles or self.tile, pixel_bytes)
        restored = _unless_out_of_memory(restore, tried)
        while restored is None:
            tried = halved(tried, height, width)
            if tried is None:
                raise DataError(f"an image of {width}x{height} does not fit into the memory; end other programs")
            logger.warning("Out of memory with an image of %dx%d; trying %s", width, height, tried)
            self._largest = tried.size
            restored = _unless_out_of_memory(restore, tried)
        return restored, tried if tried and max(height, width) > tried.size else None

    def _first_tiles(
        self, height: int, width: int, wanted: Tiles | None, pixel_bytes: int | None = None
    ) -> Tiles | None:
        """Return the tiles to begin with; None: whole."""
        if wanted is not None:
            return wanted if self._largest is None else min(wanted, tiles_of(self._largest))
        free = budget(self.device, self.memory_limit)
        # Where the tiles are on a GPU, the image itself is not.
        on_gpu = self.device.type == "cuda"
        beside = NOTHING_BESIDE if on_gpu else image_bytes(height, width, self.upscale, pixel_bytes)
        return tiles_that_fit(self.network, height, width, free, self._largest, beside)

    def _tensor_of(self, x: Tensor, tiles: Tiles | None) -> Tensor:
        """Restore (B, 3, H, W) in these tiles."""
        if tiles is None or max(x.shape[2:]) <= tiles.size:
            return self._run(x)
        return run_in_tiles(
            lambda parts: self._run(parts[0]),
            [x],
            tiles.size,
            tiles.overlap,
            self.upscale,
            overlap_is_context=True,
            watch=self._watched,
        )

    def _watched(self, tiles: Iterable[Part]) -> Iterable[Part]:
        """Pass tiles on, with a bar where the work takes more than a moment."""
        bar: Iterable[Part] = tqdm(
            tiles,
            desc="in tiles",
            unit="tile",
            leave=False,
            delay=MOMENT,
            dynamic_ncols=True,
            disable=not self.progress,
        )
        return bar

    def _run(self, x: Tensor) -> Tensor:
        """Run the network on the device; a network of one channel works on colours one by one."""
        start = time.perf_counter()
        x = x.to(self.device)
        one_by_one = traits_of(self.network).channels == 1
        try:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                restored: Tensor = self.network(x.flatten(0, 1)[:, None] if one_by_one else x)
        except NotImplementedError as error:
            raise lacking_operator(error, self.device) from error
        if one_by_one:
            restored = restored[:, 0].unflatten(0, x.shape[:2])
        result = restored.float().cpu()
        self._seconds_per_pixel = (time.perf_counter() - start) / (len(x) * x.shape[2] * x.shape[3])
        return result


def _unless_out_of_memory(restore: Callable[[Tiles | None], Result], tiles: Tiles | None) -> Result | None:
    """Restore in these tiles; return None where the memory is not enough."""
    try:
        return restore(tiles)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        give_back()
        return None


def _as_array(image: Tensor) -> AnyImage:
    """Turn (C, H, W) into (H, W, C)."""
    image = image.detach().cpu().permute(1, 2, 0)
    array: AnyImage = (image.float() if image.dtype == torch.bfloat16 else image).numpy()
    return array


def _require_finite(restored: Tensor) -> Tensor:
    if not restored.isfinite().all():
        raise DataError("the network's output is not finite")
    return restored


def _precision(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    possible = [torch.float32, torch.bfloat16] + [torch.float16] * (device.type == "cuda")
    if dtype not in possible:
        names = ", ".join(str(one) for one in possible)
        raise OptionError(f"dtype: {dtype} cannot be used on {device.type}; choose one of {names}")
    return dtype
