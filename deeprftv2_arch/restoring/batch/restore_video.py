"""Restoring a film, block by block of its frames."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import av
from tqdm import tqdm

from deeprftv2_arch import __version__
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.common.kernel_images import estimated_kernel_sheet
from deeprftv2_arch.common.stopping import stop_if_asked
from deeprftv2_arch.errors import DataError, shortened
from deeprftv2_arch.restoring.batch.comparison import GAP, side_by_side
from deeprftv2_arch.restoring.batch.plan import Job, LeftToOthersError, Part
from deeprftv2_arch.restoring.image_files import write_image
from deeprftv2_arch.restoring.marks import Mark, Marker
from deeprftv2_arch.restoring.restorer import Restorer
from deeprftv2_arch.restoring.tiles import Tiles
from deeprftv2_arch.restoring.videos.assembling import assemble
from deeprftv2_arch.restoring.videos.blocks import LENGTH, Blocks
from deeprftv2_arch.restoring.videos.encoding import LONGEST_SIDE, QUALITY, THREADS, Encoding, writing_frames
from deeprftv2_arch.restoring.videos.reading import Frame, Video

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """A film that is written.

    Attributes:
        path: Its file.
        encoding: How its frames are written.
        blocks: Where they lie until all are there.
        frame: Makes one of a frame before and after.
    """

    path: Path
    encoding: Encoding
    blocks: Blocks
    frame: Callable[[AnyImage, AnyImage], AnyImage]


def restore_video(restorer: Restorer, job: Job, strip: bool = False, mark: Mark | None = None) -> Tiles | None:
    """Restore a film and write what is wanted of it; no more than one frame is held at a time.

    Args:
        restorer: What restores it.
        job: The film, the files to write, and the part of its blocks that is restored here. Its comparison is a film
            too; its kernels are those of the frame in the middle. A film is there when all of its blocks are, whoever
            has restored them.
        strip: Whether to leave out what it says of people, places and times.
        mark: What the files say of what they were made, if they are to.

    Returns:
        The tiles in which its frames were restored; None: whole.

    Raises:
        DataError: It cannot be read, restored or written.
        LeftToOthersError: The part is restored, and others have theirs to restore, or one of them has completed it.
    """
    film = Video(job.source, restorer.max_pixels)
    tiles = None
    if job.target is not None or job.comparison is not None:
        tiles = _restore_film(restorer, job, film, strip, mark)
    if job.kernels is not None and job.part.number == 0:
        job.folder.mkdir(parents=True, exist_ok=True)
        sheet = estimated_kernel_sheet(restorer.kernels(_middle_frame(film), tiles))
        write_image(job.kernels, sheet, mark=mark)
    return tiles


def _restore_film(restorer: Restorer, job: Job, film: Video, strip: bool, mark: Mark | None) -> Tiles | None:
    if job.part.number == 0:
        _say(film, film.losses)
    said = len(film.losses)
    job.folder.mkdir(parents=True, exist_ok=True)
    outputs = list(_outputs(restorer, job, film))
    try:
        times = _restore_blocks(restorer, job.part, film, outputs)
        losses = film.losses[said:]
        tiles = outputs[0].blocks.tiles()
        are_complete = [_put_together(output, film, times, strip, losses, mark) for output in outputs]
    finally:
        if job.part.count == 1:  # otherwise another process may be about to write the first one
            for output in outputs:
                output.blocks.remove_if_empty()
    if not are_complete[0]:
        raise LeftToOthersError(f"{job.source}: others have parts of it to restore")
    _say(film, list(dict.fromkeys(losses)))
    return tiles if tiles and tiles.size < max(film.height, film.width) else None


def _say(film: Video, losses: list[str]) -> None:
    if losses:
        logger.warning("%s: %s", film.path, "; ".join(losses))


def _outputs(restorer: Restorer, job: Job, film: Video) -> Iterator[Output]:
    height, width = restorer.upscale * film.height, restorer.upscale * film.width
    identity = identity_of(restorer, film)
    for path, its_width, frame in (
        (job.target, width, lambda before, after: after),
        (job.comparison, 2 * width + GAP, side_by_side),
    ):
        if path is None:
            continue
        if max(height, its_width) > LONGEST_SIDE:
            raise DataError(f"{path}: a film of {its_width}x{height} cannot be written; {LONGEST_SIDE} is the most")
        yield Output(path, Encoding.like(film, height, its_width, height), Blocks(path, identity), frame)


def identity_of(restorer: Restorer, film: Video) -> str:
    """Return what the restored frames of a film depend on, as a checksum."""
    digest = hashlib.sha256()
    stat = film.path.stat()
    settings = [__version__, av.__version__, QUALITY, THREADS, LENGTH, str(restorer.dtype), restorer.tile]
    network = Marker(restorer.network).network
    digest.update(json.dumps([*settings, stat.st_size, stat.st_mtime_ns, network]).encode())
    return digest.hexdigest()


def _restore_blocks(restorer: Restorer, part: Part, film: Video, outputs: list[Output]) -> list[tuple[int, int]]:
    """Restore the blocks of a part that are not there; return start and duration of all frames of the film."""
    times: list[tuple[int, int]] = []
    count = film.count()

    def is_wanted(number: int) -> bool:
        return number % part.count == part.number and not all(output.blocks.has(number) for output in outputs)

    wanted = [number for number in range(-(-count // LENGTH)) if is_wanted(number)]
    total = sum(min(LENGTH, count - number * LENGTH) for number in wanted)
    tiles = outputs[0].blocks.tiles()
    with tqdm(
        desc=shortened(film.path.name),
        total=total,
        leave=False,
        unit="frame",
        dynamic_ncols=True,
        disable=not restorer.progress,
    ) as progress:
        for number, frames in groupby(_timed(film, times), lambda frame: frame.number // LENGTH):
            if not is_wanted(number):
                continue
            missing = [output for output in outputs if not output.blocks.has(number)]
            with ExitStack() as stack:
                writers = [
                    stack.enter_context(writing_frames(output.blocks.path(number), output.encoding))
                    for output in missing
                ]
                for frame in frames:
                    stop_if_asked()
                    image = frame.image()
                    restored, tiles = _restored(restorer, image, tiles, outputs[0].blocks)
                    for output, writer in zip(missing, writers, strict=True):
                        writer.write(output.frame(image, restored), frame.start, times[frame.number][1])
                    progress.update()
    return times


def _timed(film: Video, times: list[tuple[int, int]]) -> Iterator[Frame]:
    """Yield every frame of a film when the one after it is known, and note when each is shown and for how long."""
    before: Frame | None = None
    for frame in film.frames():
        if before is not None:
            times.append((before.start, frame.start - before.start))
            yield before
        before = frame
    if before is not None:
        usual = max(1, round(1 / film.rate / film.time_base))
        times.append((before.start, before.duration or usual))
        yield before


def _restored(restorer: Restorer, image: AnyImage, tiles: Tiles | None, blocks: Blocks) -> tuple[AnyImage, Tiles]:
    """Restore a frame; return it, and in which tiles.

    All frames have the tiles of the first one, whoever restores it, so that nothing flickers.
    """
    restored = restorer.restore(image, tiles)
    used = restored.tiles or Tiles(max(image.shape[:2]), 0)
    if tiles is None:
        agreed = blocks.agreed_tiles(used)
        if agreed != used:
            return restorer.restore(image, agreed).image, agreed
    return restored.image, used


def _put_together(
    output: Output,
    film: Video,
    times: list[tuple[int, int]],
    strip: bool,
    losses: list[str],
    mark: Mark | None,
) -> bool:
    """Write the film if all of its blocks are there, and note what is lost; tell whether it was written."""
    count = -(-len(times) // LENGTH)
    with output.blocks.being_put_together():
        if not output.blocks.has_all(count):  # others still work on them, or one of them has put it together
            return False
        blocks = [output.blocks.path(number) for number in range(count)]
        losses += assemble(output.path, film, blocks, times, strip, mark)
        output.blocks.remove()
    return True


def _middle_frame(film: Video) -> AnyImage:
    """Return the frame in the middle of those that there are, which may be others than the file announces."""
    number = sum(1 for _ in film.frames())
    return next(islice(film.frames(), number // 2, None)).image()
