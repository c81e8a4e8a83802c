"""Restoring many images and videos, one after the other, whatever becomes of a single one."""

import hashlib
import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from deeprftv2_arch.common.atomic import remove_left_overs_of
from deeprftv2_arch.common.kernel_images import estimated_kernel_sheet
from deeprftv2_arch.common.locking import FileLock
from deeprftv2_arch.common.stopping import stop_if_asked
from deeprftv2_arch.errors import LONGEST_MESSAGE, DataError, DeepRFTv2Error, cut, escaped, shortened
from deeprftv2_arch.restoring.batch.comparison import side_by_side
from deeprftv2_arch.restoring.batch.plan import Job, LeftToOthersError, Plan, is_video, require_inside
from deeprftv2_arch.restoring.conversion import has_alpha
from deeprftv2_arch.restoring.image_files import QUALITY, require_writable, write_image
from deeprftv2_arch.restoring.restorer import Restorer
from deeprftv2_arch.restoring.tiles import Tiles
from deeprftv2_arch.restoring.videos.blocks import remove_blocks

_DIGITS = 16  # of the names of locks
MOST_KINDS = 5  # of files that the summary names


@dataclass
class Outcome:
    """What became of the images and videos.

    Attributes:
        restored: How many were restored.
        done: How many had been before.
        elsewhere: How many another process has restored meanwhile.
        failures: One line for every other one.
        tiles: Size of the tiles of every one that was restored in tiles.
        in_part: The videos of which this process has restored its part, while others have not restored theirs.
        left_out: Files that are neither images nor videos.
        left: How many were not restored, because a signal has stopped the work.
        stop: That signal, if there was one.
    """

    restored: int = 0
    done: int = 0
    elsewhere: int = 0
    failures: list[str] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)
    in_part: list[Job] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    left: int = 0
    stop: KeyboardInterrupt | None = None

    def __str__(self) -> str:
        parts = [f"{self.restored} restored"]
        if self.tiles:
            parts[0] += f" ({len(self.tiles)} in tiles, the smallest of {min(self.tiles)} pixels)"
        if self.in_part:
            parts.append(f"{len(self.in_part)} restored in part (the last of the other jobs completes them)")
        if self.done:
            parts.append(f"{self.done} done before (--overwrite restores them again)")
        if self.elsewhere:
            parts.append(f"{self.elsewhere} restored by another process meanwhile")
        if self.left:
            parts.append(f"{self.left} not restored, since the work was stopped (the same command goes on)")
        if self.failures:
            parts.append(f"{len(self.failures)} failed")
        if self.left_out:
            kinds = sorted({shortened(path.suffix.lower() or path.name, 40) for path in self.left_out})
            named = ", ".join(kinds[:MOST_KINDS]) + (", ..." if len(kinds) > MOST_KINDS else "")
            parts.append(f"{len(self.left_out)} of other kinds left out ({named})")
        return ", ".join(parts)


def restore_files(
    restorer: Restorer,
    plan: Plan,
    out: Path,
    overwrite: bool = False,
    quality: int = QUALITY,
    strip: bool = False,
) -> Outcome:
    """Restore images and videos, and write what is wanted of each; a file appears when it is complete.

    Several processes may share the work: what one of them works on, the others leave to it. They wait at the end to see
    that it is done, and do it themselves if it was not.

    Args:
        restorer: What restores them.
        plan: The images and videos, and what is wrong with others.
        out: Folder outside of which nothing is written.
        overwrite: Whether to replace files that are there. Otherwise a source is left out if all of its files are
            there, and only the missing ones are written if some are; one that is newer than they are counts as failed.
        quality: Of JPEGs and WebPs, 1 to 100.
        strip: Whether to leave out what images tell of people, places and times.
    """

    def restore_missing(job: Job) -> None:
        wanted = job if overwrite else job.missing()
        if not wanted.outputs():
            _note_as_done(job, outcome)
            return
        try:
            tiles = _restore_one(restorer, wanted, out, quality, strip, progress.set_postfix_str)
        except LeftToOthersError:
            outcome.in_part += [wanted] if wanted.missing().outputs() else []
            return
        except Exception as error:  # of whatever kind: the others are still to be restored
            outcome.failures.append(_line(job.source, error))
            return
        outcome.restored += 1
        outcome.tiles += [tiles.size] if tiles else []
        progress.set_postfix_str(f"last one in {tiles}" if tiles else "")

    outcome = Outcome(failures=list(plan.failures), left_out=plan.other_kinds)
    with tqdm(plan.jobs, "restoring", unit="file", dynamic_ncols=True) as progress:
        finished = 0
        try:
            in_work_elsewhere = []
            for job in progress:
                stop_if_asked()
                try:
                    with _locked(job, out):
                        restore_missing(job)
                    finished += 1
                except BlockingIOError:
                    in_work_elsewhere.append(job)
            for job in in_work_elsewhere:
                with _locked(job, out, wait=math.inf):
                    if job.missing().outputs():
                        restore_missing(job)
                    else:
                        outcome.elsewhere += 1
                finished += 1
        except KeyboardInterrupt as stop:  # the file in work is dropped, all others are whole
            outcome.stop = stop
            outcome.left = len(plan.jobs) - finished
    return outcome


def _note_as_done(job: Job, outcome: Outcome) -> None:
    """Note that all files of a job are there; of a film that is shared, one process does so."""
    if job.part.number:
        return
    outcome.done += 1
    for path in job.outputs():  # what a process has left that was killed when all was done
        remove_left_overs_of(path)
        if is_video(job.source):
            remove_blocks(path)
    if job.is_outdated():
        outcome.failures.append(
            f"{job.source}: is newer than {job.outputs()[0]}, which stays as it is; --overwrite replaces it"
        )


def _locked(job: Job, out: Path, wait: float = 0.0) -> AbstractContextManager[object]:
    """Keep a job from other processes for the time of a with-block.

    Raises:
        BlockingIOError: One of them works on it.
    """
    name = os.fsencode(os.path.relpath(job.outputs()[0], out))
    digest = hashlib.sha256(name + f" {job.part}".encode() * (job.part.count > 1)).hexdigest()
    try:
        lock = FileLock(out / f".{digest[:_DIGITS]}.restoring.lock", wait)
    except BlockingIOError:
        raise
    except OSError:  # where no file can be made, writing the result will say so
        return nullcontext()
    stack = ExitStack()
    stack.callback(lock.release)
    return stack


def _restore_one(
    restorer: Restorer, job: Job, out: Path, quality: int, strip: bool, announce: Callable[[str], None]
) -> Tiles | None:
    """Restore an image or a video and write its files; return the tiles, or None for whole."""
    for path in job.outputs():
        require_inside(path, out)
        if path.is_dir():
            raise DataError(f"{path}: is a folder where the result is to be; rename it")
    if is_video(job.source):
        try:
            from deeprftv2_arch.restoring.batch.restore_video import restore_video
        except ImportError as error:
            raise DataError(
                f"{job.source}: films are read and written by the package av, which cannot be loaded ({error}); "
                'pip install "deeprftv2_arch[video]" installs it, or restore a folder of numbered frames'
            ) from error
        return restore_video(restorer, job, strip)
    return restore_image(restorer, job, quality, strip, announce)


def restore_image(
    restorer: Restorer,
    job: Job,
    quality: int = QUALITY,
    strip: bool = False,
    announce: Callable[[str], None] = lambda _: None,
) -> Tiles | None:
    """Restore an image and write what is wanted of it.

    Args:
        restorer: What restores it.
        job: The image, and the files to write.
        quality: Of JPEGs and WebPs, 1 to 100.
        strip: Whether to leave out what it tells of people, places and times.
        announce: Is told, before it is restored, how long that will take.

    Returns:
        The tiles in which it was restored; None: whole.

    Raises:
        DataError: It cannot be read, restored or written.
    """
    image, metadata = restorer.read(job.source)
    height, width = (restorer.upscale * side for side in image.shape[:2])
    if job.target is not None:  # before the time that restoring takes
        require_writable(job.target, height, width, has_alpha(image))
    announce(f"{shortened(job.source.name)}: {about(restorer.seconds_for(*image.shape[:2]))}")
    restored = restorer.restore(image)
    job.folder.mkdir(parents=True, exist_ok=True)
    if job.target is not None:
        write_image(job.target, restored.image, metadata.stripped() if strip else metadata, quality)
    if job.comparison is not None:
        write_image(job.comparison, side_by_side(image, restored.image), metadata.stripped(), quality)
    if job.kernels is not None:
        write_image(job.kernels, estimated_kernel_sheet(restorer.kernels(image, restored.tiles)))
    return restored.tiles


def about(seconds: float) -> str:
    """Return an estimated time as people say it."""
    if seconds < 1:
        return "less than a second"
    if seconds < 100:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 6000 else f"about {seconds / 3600:.1f} h"


def _line(source: Path, error: Exception) -> str:
    """Say what went wrong with a file, in a line that begins with its name."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, DeepRFTv2Error):
        text = f"{type(error).__name__}: {text}"
    return cut(escaped(text if str(source) in text else f"{source}: {text}"), LONGEST_MESSAGE)
