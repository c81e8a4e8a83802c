"""Restoring many images and videos, one after the other, whatever becomes of a single one."""

import math
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from deeprftv2_arch.common.atomic import remove_left_overs_of
from deeprftv2_arch.common.kernel_images import estimated_kernel_sheet
from deeprftv2_arch.common.stopping import stop_if_asked
from deeprftv2_arch.errors import DataError, shortened
from deeprftv2_arch.restoring.batch.comparison import side_by_side
from deeprftv2_arch.restoring.batch.job_locks import job_locked
from deeprftv2_arch.restoring.batch.outcome import Outcome, Tell, line_of
from deeprftv2_arch.restoring.batch.plan import Job, LeftToOthersError, Plan, is_video, require_inside
from deeprftv2_arch.restoring.conversion import has_alpha
from deeprftv2_arch.restoring.image_files import QUALITY, require_file, require_readable, require_writable, write_image
from deeprftv2_arch.restoring.marks import Mark, Marker, doubt_of, mark_of
from deeprftv2_arch.restoring.restorer import Restorer
from deeprftv2_arch.restoring.tiles import Tiles
from deeprftv2_arch.restoring.videos.blocks import remove_blocks
from deeprftv2_arch.restoring.videos.containers import require_whole_video


def restore_files(
    restorer: Restorer,
    plan: Plan,
    out: Path,
    overwrite: bool = False,
    quality: int = QUALITY,
    strip: bool = False,
    tell: Tell = lambda *_: None,
) -> Outcome:
    """Restore images and videos, and write what is wanted of each; a file appears when it is complete.

    Several processes may share the work: what one of them works on, the others leave to it. They wait at the end to see
    that it is done, and do it themselves if it was not.

    Args:
        restorer: What restores them; with its ``progress``, bars show how far it is.
        plan: The images and videos, and what is wrong with others.
        out: Folder outside of which nothing is written.
        overwrite: Whether to replace files that are there. Otherwise a source is left out if all of its files are
            there, and only the missing ones are written if some are. It counts as failed if one of them says that it
            was made of something else, or by another network; those that do not say it are counted.
        quality: Of JPEGs and WebPs, 1 to 100.
        strip: Whether to leave out what images tell of people, places and times.
        tell: Gets every job with None when it begins, and again with what became of it.
    """
    work = _Work(restorer, out, overwrite, quality, strip)
    outcome, finished = Outcome(failures=list(plan.failures), left_out=list(plan.other_kinds)), 0
    with tqdm(plan.jobs, "restoring", unit="file", dynamic_ncols=True, disable=not restorer.progress) as progress:

        def note(job: Job, of_job: Outcome) -> None:
            nonlocal finished
            finished += 1
            outcome.add(of_job)
            tell(job, of_job)

        try:
            in_work_elsewhere = []
            for job in progress:
                stop_if_asked()
                try:
                    with job_locked(job, out):
                        tell(job, None)
                        note(job, work.on(job, progress.set_postfix_str))
                except BlockingIOError:
                    in_work_elsewhere.append(job)
            for job in in_work_elsewhere:
                with job_locked(job, out, wait=math.inf):
                    tell(job, None)
                    note(job, work.after_others(job, progress.set_postfix_str))
        except KeyboardInterrupt as stop:  # the file in work is dropped, all others are whole
            outcome.stop = stop
            outcome.left = len(plan.jobs) - finished
    return outcome


class _Work:
    """What is done with every job; the arguments are those of :func:`restore_files`."""

    def __init__(self, restorer: Restorer, out: Path, overwrite: bool, quality: int, strip: bool) -> None:
        self.restorer = restorer
        self.out = out
        self.overwrite = overwrite
        self.quality = quality
        self.strip = strip
        self.marker = Marker(restorer.network)

    def after_others(self, job: Job, announce: Callable[[str], None]) -> Outcome:
        """Restore what another process has not, which had it in its work."""
        if job.missing().outputs() or self._seen(job).failures:
            return self.on(job, announce)
        return Outcome(elsewhere=1)

    def on(self, job: Job, announce: Callable[[str], None]) -> Outcome:
        """Restore what is missing of a job; return what became of it."""
        wanted = job if self.overwrite else job.missing()
        outcome = Outcome() if self.overwrite else self._seen(job)
        if not outcome.failures:
            outcome.add(self._restored(wanted, announce) if wanted.outputs() else _done_before(job))
        return outcome

    def _restored(self, wanted: Job, announce: Callable[[str], None]) -> Outcome:
        """Restore what is wanted; return what became of it."""
        try:
            tiles = self._restore(wanted, announce)
        except LeftToOthersError:
            return Outcome(in_part=[wanted] if wanted.missing().outputs() else [])
        except Exception as error:  # of whatever kind: the others are still to be restored
            return Outcome(failures=[line_of(wanted.source, error)])
        announce(f"last one in {tiles}" if tiles else "")
        return Outcome(restored=1, tiles=[tiles.size] if tiles else [])

    def _seen(self, job: Job) -> Outcome:
        """Tell of the files that are there: that one is not a result of the job, or how many may be of anything."""
        there = [path for path in job.outputs() if path.is_file()]
        doubt = None
        unmarked = 0
        try:
            marks = [(path, found) for path in there if (found := mark_of(path)) is not None]
            unmarked = len(there) - len(marks)
            if marks:
                mark = self._mark(job.source)
                doubt = next((why for path, found in marks if (why := doubt_of(path, found, mark))), None)
        except (DataError, OSError) as error:
            doubt = f"{there[0]} is there and cannot be compared with it ({error})"
        if doubt is not None:
            return Outcome(failures=[f"{job.source}: {doubt}, and stays as it is; --overwrite replaces it"])
        return Outcome(unmarked=0 if job.part.number else unmarked)  # of a film that is shared, once

    def _mark(self, source: Path) -> Mark:
        """Return the mark of what is made of a file, which is looked at before all of it is read.

        Raises:
            DataError: It cannot be read, or is not as large as it says.
        """
        if not is_video(source):
            require_readable(source, self.restorer.max_pixels)
            return self.marker.mark(source)
        require_file(source)
        try:
            require_whole_video(source)
        except OSError as error:
            raise DataError(f"{source}: cannot be read: {error.strerror}") from error
        return self.marker.mark(source)

    def _restore(self, job: Job, announce: Callable[[str], None]) -> Tiles | None:
        """Restore an image or a video and write its files; return the tiles, or None for whole."""
        for path in job.outputs():
            require_inside(path, self.out)
            if path.is_dir():
                raise DataError(f"{path}: is a folder where the result is to be; rename it")
        mark = self._mark(job.source)  # before it is read, in case that it changes meanwhile
        if is_video(job.source):
            try:
                from deeprftv2_arch.restoring.batch.restore_video import restore_video
            except ImportError as error:
                raise DataError(
                    f"{job.source}: films are read and written by the package av, which cannot be loaded ({error}); "
                    'pip install "deeprftv2_arch[video]" installs it, or restore a folder of numbered frames'
                ) from error
            return restore_video(self.restorer, job, self.strip, mark)
        return restore_image(self.restorer, job, self.quality, self.strip, announce, mark)


def _done_before(job: Job) -> Outcome:
    """Return the outcome of a job whose files are all there; of a film that is shared, one process tells."""
    if job.part.number:
        return Outcome()
    for path in job.outputs():  # what a process has left that was killed when all was done
        remove_left_overs_of(path)
        if is_video(job.source):
            remove_blocks(path)
    return Outcome(done=1)


def restore_image(
    restorer: Restorer,
    job: Job,
    quality: int = QUALITY,
    strip: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    mark: Mark | None = None,
) -> Tiles | None:
    """Restore an image and write what is wanted of it.

    Args:
        restorer: What restores it.
        job: The image, and the files to write.
        quality: Of JPEGs and WebPs, 1 to 100.
        strip: Whether to leave out what it tells of people, places and times.
        announce: Is told, before it is restored, how long that will take.
        mark: What the files say of what they were made, if they are to.

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
        write_image(job.target, restored.image, metadata.stripped() if strip else metadata, quality, mark)
    if job.comparison is not None:
        write_image(job.comparison, side_by_side(image, restored.image), metadata.stripped(), quality, mark)
    if job.kernels is not None:
        sheet = estimated_kernel_sheet(restorer.kernels(image, restored.tiles))
        write_image(job.kernels, sheet, mark=mark)
    return restored.tiles


def about(seconds: float) -> str:
    """Return an estimated time as people say it."""
    if seconds < 1:
        return "less than a second"
    if seconds < 100:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 6000 else f"about {seconds / 3600:.1f} h"
