"""Restoring a video frame by frame."""

import logging
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.common.kernel_images import estimated_kernel_sheet
from deeprftv2_arch.restoring.batch.comparison import GAP, side_by_side
from deeprftv2_arch.restoring.batch.plan import Job
from deeprftv2_arch.restoring.image_files import write_image
from deeprftv2_arch.restoring.restorer import Restorer
from deeprftv2_arch.restoring.tiles import Tiles
from deeprftv2_arch.restoring.videos.reading import Video
from deeprftv2_arch.restoring.videos.writing import ffmpeg, writing_video

logger = logging.getLogger(__name__)


def restore_video(restorer: Restorer, job: Job) -> Tiles | None:
    """Restore a video and write what is wanted of it; no more than one frame is held at a time.

    Args:
        restorer: What restores it.
        job: The video, and the files to write. Its comparison is a video too; its kernels are those of the frame in
            the middle.

    Returns:
        The tiles in which its frames were restored; None: whole.

    Raises:
        DataError: It cannot be read, restored or written.
    """
    tiles = None
    if job.target is not None or job.comparison is not None:
        with closing(Video(job.source, restorer.max_pixels)) as video:
            tiles = _restore_frames(restorer, job, video)
    if job.kernels is not None:
        frame = _middle_frame(job.source, restorer.max_pixels)
        write_image(job.kernels, estimated_kernel_sheet(restorer.kernels(frame, tiles)))
    return tiles


def _restore_frames(restorer: Restorer, job: Job, video: Video) -> Tiles | None:
    if ffmpeg() is None:
        logger.warning("%s: sound, if there is any, is lost, since there is no program ffmpeg on the PATH", job.source)
    height, width = restorer.upscale * video.height, restorer.upscale * video.width
    job.folder.mkdir(parents=True, exist_ok=True)
    tiles = None
    with ExitStack() as stack:
        write_target, write_comparison = (
            stack.enter_context(writing_video(path, height, film_width, video)) if path else None
            for path, film_width in ((job.target, width), (job.comparison, 2 * width + GAP))
        )
        pairs = stack.enter_context(closing(restorer.frames(video.frames())))
        total = video.frame_count or None
        for frame, restored in tqdm(pairs, job.source.name, total, leave=False, unit="frame", dynamic_ncols=True):
            tiles = restored.tiles
            if write_target:
                write_target(restored.image)
            if write_comparison:
                write_comparison(side_by_side(frame, restored.image))
    return tiles


def _middle_frame(path: Path, max_pixels: int) -> AnyImage:
    """Return the frame in the middle of those that there are, which may be others than the file announces."""
    with closing(Video(path, max_pixels)) as video:
        number = sum(1 for _ in video.frames())
    with closing(Video(path, max_pixels)) as video:
        return next(islice(video.frames(), number // 2, None))
