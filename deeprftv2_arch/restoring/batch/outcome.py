"""What became of many images and videos, in one process or in several together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deeprftv2_arch.errors import LONGEST_MESSAGE, DeepRFTv2Error, cut, escaped, shortened
from deeprftv2_arch.restoring.batch.plan import Job, Plan

MOST_KINDS = 5  # of files that the summary names


@dataclass
class Outcome:
    """What became of the images and videos.

    Attributes:
        restored: How many were restored.
        done: How many had been before.
        unmarked: How many results were there that do not say of what they were made.
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
    unmarked: int = 0
    elsewhere: int = 0
    failures: list[str] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)
    in_part: list[Job] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    left: int = 0
    stop: KeyboardInterrupt | None = None

    def add(self, other: "Outcome") -> None:
        """Count what became of further images and videos as well."""
        self.restored += other.restored
        self.done += other.done
        self.unmarked += other.unmarked
        self.elsewhere += other.elsewhere
        self.failures += other.failures
        self.tiles += other.tiles
        self.in_part += other.in_part
        self.left_out += other.left_out
        self.left += other.left
        self.stop = self.stop or other.stop

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


# What is told of every job: with None that it begins, and then what became of it.
Tell = Callable[[Job, Outcome | None], None]


@dataclass(frozen=True)
class Refusal:
    """A process that could not begin, such as one whose GPU cannot be used.

    Attributes:
        error: Why.
        plan: What it was to restore.
    """

    error: DeepRFTv2Error
    plan: Plan

    def outcome(self) -> Outcome:
        """Return what became of its images and videos: each has failed."""
        lines = [line_of(job.source, self.error) for job in self.plan.jobs]
        return Outcome(failures=[*self.plan.failures, *lines], left_out=list(self.plan.other_kinds))


def merged(found: Sequence[Outcome | Refusal], are_others_left: bool) -> Outcome:
    """Return the outcome of several processes together.

    Args:
        found: That of each.
        are_others_left: Whether processes that do not belong to these may still complete videos.

    Raises:
        DeepRFTv2Error: None of them could begin.
    """
    refusals = [one for one in found if isinstance(one, Refusal)]
    if refusals and all(one in refusals or one == Outcome() for one in found):  # the latter had nothing to do
        raise refusals[0].error
    whole = Outcome()
    for one in found:
        whole.add(one.outcome() if isinstance(one, Refusal) else one)
    # Every process that has reached a film may have found the same fault, and one of them may have completed it.
    whole.failures = list(dict.fromkeys(whole.failures))
    named = " ".join(whole.failures)
    incomplete = {job.source: job for job in whole.in_part if job.missing().outputs() and str(job.source) not in named}
    whole.in_part = list(incomplete.values()) if are_others_left else []
    if not are_others_left and not whole.left:
        whole.failures += [
            f"{source}: not all frames were restored, since a process has failed; the same command goes on"
            for source in incomplete
        ]
    return whole


def line_of(source: Path, error: Exception) -> str:
    """Say what went wrong with a file, in a line that begins with its name."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, DeepRFTv2Error):
        text = f"{type(error).__name__}: {text}"
    return cut(escaped(text if str(source) in text else f"{source}: {text}"), LONGEST_MESSAGE)
