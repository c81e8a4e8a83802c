"""Restoring images of any kind and any size with a trained network."""

import logging
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from deeprftv2_arch.checkpoints.building import network_of_checkpoint
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.layers.tiling import run_in_tiles
from deeprftv2_arch.networks.protocol import TiledNetwork, traits_of
from deeprftv2_arch.restoring.conversion import check_image, to_image, to_tensor
from deeprftv2_arch.restoring.image_files import MAX_PIXELS, read_image
from deeprftv2_arch.restoring.kernels import estimated_kernels, middle
from deeprftv2_arch.restoring.loading import network_of_options
from deeprftv2_arch.restoring.memory import budget, image_bytes, is_out_of_memory, parse_bytes, tiles_that_fit
from deeprftv2_arch.restoring.tiles import Tiles, check_tiles, halved, tiles_of

KERNEL_WINDOW = 256  # pixels
LONGEST_REASON = 60  # characters of PyTorch's, why a device cannot be used
MOMENT = 2.0  # seconds after which a bar shows how many tiles are done

logger = logging.getLogger(__name__)

ImageOrTensor = TypeVar("ImageOrTensor", AnyImage, Tensor)


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
    ) -> None:
        if tile is not None and memory_limit is not None:
            raise OptionError("tile and memory_limit: give one of them, since the limit chooses the tiles")
        self.device = _device(device)
        self.network = network.to(self.device).eval()
        self.upscale = traits_of(network).upscale
        self.tile = None if tile is None else check_tiles(tile)
        self.memory_limit = None if memory_limit is None else parse_bytes(memory_limit)
        if max_pixels < 1:
            raise OptionError(f"max_pixels: expected a number above 0, got {max_pixels}")
        self.max_pixels = max_pixels
        self.progress = False
        # Size of tiles that fitted after larger ones had not, so that no later image fails in those first.
        self._largest: int | None = None

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Path | str,
        *,
        device: torch.device | str | None = None,
        tile: tuple[int, int] | None = None,
        memory_limit: int | str | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> "Restorer":
        """Build from trained weights alone: which network they are of is found from their names and shapes.

        Args:
            checkpoint: A file with weights of a DeepRFTv2, an ATD with or without estimators, or a UFPNet.
            device: See the class, as for the other arguments.
            tile: See the class.
            memory_limit: See the class.
            max_pixels: See the class.

        Raises:
            CheckpointError: The file cannot be read, or its weights belong to no network of this package.
            OptionError: See the class.
        """
        return cls(network_of_checkpoint(Path(checkpoint)), device, tile, memory_limit, max_pixels)

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
        return cls(network, device, tile, memory_limit, max_pixels)

    def __call__(self, image: Path | str | ImageOrTensor) -> ImageOrTensor | AnyImage:
        """Restore one image, or each of a batch.

        Args:
            image: One of

                * the path of a PNG or a JPEG, which is turned upright as its Exif data say,
                * a NumPy array (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGB with alpha, of uint8, uint16, or
                  floating point in 0..1,
                * a tensor (C, H, W) or (B, C, H, W) of the same channels and types, on any device.

                Whatever the type, the network works in float32.

        Returns:
            The same kind, shape but for the enlargement, type and device; of a path an array as its file is stored.
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
            return self(read_image(Path(image), self.max_pixels)[0])
        raise DataError(f"an image is a path, a NumPy array or a tensor, not a {type(image).__name__}")

    def _restore_tensor(self, images: Tensor) -> Tensor:
        if images.dim() not in (3, 4) or images.shape[-3] not in (1, 3, 4) or not images.numel():
            shape = tuple(images.shape)
            raise DataError(f"a tensor of images is (C, H, W) or (B, C, H, W) with 1, 3 or 4 channels, not {shape}")
        if images.dim() == 4:
            return torch.stack([self._restore_tensor(image) for image in images])
        image = images.detach().cpu().permute(1, 2, 0)
        array = (image.float() if image.dtype == torch.bfloat16 else image).numpy()
        return torch.from_numpy(self(array)).permute(2, 0, 1).to(images.device, images.dtype)

    def restore(self, image: AnyImage, tiles: Tiles | None = None) -> Restored:
        """Restore one image, and say in which tiles.

        Args:
            image: A NumPy array as above.
            tiles: Where to begin; by default the tiles that were asked for, or as large ones as the memory allows.

        Raises:
            DataError: See above.
        """
        check_image(image)
        restored, used = self.restore_tensor(to_tensor(image), tiles)
        return Restored(to_image(restored, image), used)

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
    def kernels(self, image: AnyImage, tiles: Tiles | None = None) -> NDArray[np.float32]:
        """Return the blur kernels that the network estimates in the middle of an image.

        Args:
            image: A NumPy array as above.
            tiles: Those in which the image was restored, whose kernels are to be seen; by default those that were
                asked for, if any.

        Returns:
            (C, h, w), those of the last estimator, one for every channel of its features, zero lag in the corner; h and
            w are about those of the middle, at most 256, or the size of the tiles where these are smaller.

        Raises:
            OptionError: The network has no estimators.
        """
        check_image(image)
        tiles = tiles or self.tile
        sizes = [KERNEL_WINDOW, tiles and tiles.size, traits_of(self.network).tile]
        x = middle(to_tensor(image), min(size for size in sizes if size))
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
        tried = self._first_tiles(height, width, tiles or self.tile)
        restored = self._attempt(x, tried)
        while restored is None:
            tried = halved(tried, height, width)
            if tried is None:
                raise DataError(f"an image of {width}x{height} does not fit into the memory; end other programs")
            logger.warning("Out of memory with an image of %dx%d; trying %s", width, height, tried)
            self._largest = tried.size
            restored = self._attempt(x, tried)
        if not restored.isfinite().all():
            raise DataError("the network's output is not finite")
        return restored, tried if tried and max(height, width) > tried.size else None

    def _first_tiles(self, height: int, width: int, wanted: Tiles | None) -> Tiles | None:
        """Return the tiles to begin with; None: whole."""
        if wanted is not None:
            return wanted if self._largest is None else min(wanted, tiles_of(self._largest))
        free = budget(self.device, self.memory_limit)
        # Where the tiles are on a GPU, the image itself is not.
        images = 0 if self.device.type == "cuda" else image_bytes(height * width, self.upscale)
        return tiles_that_fit(self.network, height, width, free - images, self._largest)

    def _attempt(self, x: Tensor, tiles: Tiles | None) -> Tensor | None:
        """Restore in these tiles; return None where the memory is not enough."""
        try:
            if tiles is None or max(x.shape[2:]) <= tiles.size:
                return self._run(x)
            return run_in_tiles(
                lambda parts: self._run(parts[0]),
                [x],
                tiles.size,
                tiles.overlap,
                self.upscale,
                overlap_is_context=True,
                watch=partial(
                    tqdm,
                    desc="in tiles",
                    unit="tile",
                    leave=False,
                    delay=MOMENT,
                    dynamic_ncols=True,
                    disable=not self.progress,
                ),
            )
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _run(self, x: Tensor) -> Tensor:
        """Run the network on the device; a network of one channel works on colours one by one."""
        x = x.to(self.device)
        one_by_one = traits_of(self.network).channels == 1
        restored: Tensor = self.network(x.transpose(0, 1)).transpose(0, 1) if one_by_one else self.network(x)
        return restored.float().cpu()


def _device(device: torch.device | str | None) -> torch.device:
    try:
        found = torch.empty(1, device=device or ("cuda" if torch.cuda.is_available() else "cpu")).device
        if found.type == "meta":
            raise RuntimeError("it computes nothing")
        return found
    except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was built for a device
        reason = shorten(str(error), LONGEST_REASON, placeholder=" ...")
        raise OptionError(f"device: {device} cannot be used here ({reason}); choose cpu or cuda") from error
