"""Restoring a video frame by frame."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from deeprftv2_arch.restoring.comparison import GAP, side_by_side
from deeprftv2_arch.restoring.conversion import Image
from deeprftv2_arch.restoring.image_files import write_image
from deeprftv2_arch.restoring.kernels import kernel_image
from deeprftv2_arch.restoring.plan import Job
from deeprftv2_arch.restoring.restorer import Restorer
from deeprftv2_arch.restoring.video_reading import Video
from deeprftv2_arch.restoring.video_writing import ffmpeg, writing_video

logger = logging.getLogger(__name__)


def restore_video(restorer: Restorer, job: Job, missing: Sequence[Path]) -> None:
    """Restore a video and write what is wanted of it; no more than one frame is held at a time.

    Args:
        restorer: What restores it.
        job: The video. Its comparison is a video too; its kernels are those of the frame in the middle.
        missing: The files of the job that are to be written.

    Raises:
        DataError: It cannot be read, restored or written.
    """
    films = [path for path in missing if path != job.kernels]
    if films:
        with closing(Video(job.source, restorer.max_pixels)) as video:
            _restore_frames(restorer, job, video, films)
    if job.kernels is not None and job.kernels in missing:
        frame = _middle_frame(job.source, restorer.max_pixels)
        write_image(job.kernels, kernel_image(restorer.kernels(frame)))


def _restore_frames(restorer: Restorer, job: Job, video: Video, films: Sequence[Path]) -> None:
    if ffmpeg() is None:
        logger.warning("%s: sound, if there is any, is lost, since there is no program ffmpeg on the PATH", job.source)
    height, width = restorer.upscale * video.height, restorer.upscale * video.width
    job.target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        writers = {
            path: stack.enter_context(
                writing_video(path, height, 2 * width + GAP if path == job.comparison else width, video)
            )
            for path in films
        }
        pairs = stack.enter_context(closing(restorer.frames(video.frames())))
        total = video.frame_count or None
        for frame, restored in tqdm(pairs, job.source.name, total, leave=False, unit="frame", dynamic_ncols=True):
            for path, write in writers.items():
                write(side_by_side(frame, restored) if path == job.comparison else restored)


def _middle_frame(path: Path, max_pixels: int) -> Image:
    """The frame in the middle of those that there are, which may be others than the file announces."""
    with closing(Video(path, max_pixels)) as video:
        number = sum(1 for _ in video.frames())
    with closing(Video(path, max_pixels)) as video:
        return next(islice(video.frames(), number // 2, None))
