"""Several processes that share what there is to restore: those of torchrun, or the jobs of an array.

Which file is whose depends on the names of all results alone, and which frames of a film on their numbers. So every
process plans everything, restores its share, and writes what one process would have written. The last one that has
restored its part of a film puts it together.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
import torch.distributed as dist

from deeprftv2_arch.common.stopping import signals_wait
from deeprftv2_arch.errors import OptionError, shortened
from deeprftv2_arch.restoring.batch.outcome import Outcome, Refusal, merged
from deeprftv2_arch.restoring.batch.plan import Part, Plan, is_video

LEFT_OVER = "start with torchrun, or unset what is left of it"
LOST_PROCESS = (
    "another process of torchrun has ended before its time, so this is told of one process alone; what is done stays, "
    "and the same command goes on"
)
PATIENCE = timedelta(days=30)  # with the others' work, before their outcomes are added up


@dataclass(frozen=True)
class Share:
    """Every ``count``-th file, from the one of a number on; of videos every ``count``-th block of frames.

    Attributes:
        number: From 0.
        count: How many shares there are.
        local_rank: The process on its machine; None where no launcher has started it.
    """

    number: int = 0
    count: int = 1
    local_rank: int | None = None

    def of(self, plan: Plan, films_as_wholes: bool = False) -> Plan:
        """Return this share of a plan; what is wrong with inputs, and left out, belongs to the first one.

        Args:
            plan: Of all processes.
            films_as_wholes: Whether a film is for one process. So it must be where films are to be replaced, since
                nobody could tell a film that others have completed from the old one.
        """
        mine = [
            replace(job, part=_part(job.part, (self.number - place) % self.count, self.count)) if shared else job
            for place, job in enumerate(plan.jobs)
            if (shared := is_video(job.source) and not films_as_wholes) or place % self.count == self.number
        ]
        return replace(plan, jobs=mine) if self.number == 0 else Plan(plan.folder, mine)

    def devices(self, named: str | None) -> list[str | None]:
        """Return where this process is to restore: on all GPUs, or on that of its number where a launcher starts many.

        Args:
            named: What the user wants instead: names of devices, with commas between them.
        """
        names = named.split(",") if named else [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        if not names:
            return [None]
        return list(names) if self.local_rank is None else [names[self.local_rank % len(names)]]


def _part(part: Part, number: int, count: int) -> Part:
    """Return one of ``count`` shares of a part."""
    return Part(part.number + part.count * number, part.count * count)


def find_share(words: str | None, environment: Mapping[str, str] = os.environ) -> Share:
    """Tell from ``--shard K/N``, or else from torchrun's variables, which share is this process's.

    Raises:
        OptionError: The words are no share, both are given, or the variables make no sense.
    """
    launched = {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= environment.keys()
    if words is None:
        if not launched:
            return Share()
        try:
            rank, count, local_rank = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        except ValueError:
            raise OptionError(f"RANK, WORLD_SIZE and LOCAL_RANK are no numbers; {LEFT_OVER}") from None
        if not 0 <= rank < count:
            raise OptionError(f"RANK={rank}: expected a number below WORLD_SIZE={count}; {LEFT_OVER}")
        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
        if missing:
            raise OptionError(f"{missing[0]}: is not set, though RANK is; {LEFT_OVER}")
        return Share(rank, count, local_rank)
    if launched:
        raise OptionError("--shard: torchrun shares the inputs already; leave one of them out")
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", words, re.ASCII)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise OptionError(f"--shard: expected K/N, such as 2/8 for the second of eight shares, got {words!r}")
    return Share(int(match[1]) - 1, int(match[2]))


@contextmanager
def joined(share: Share) -> Iterator[None]:
    """Join the processes that torchrun has started, so that their outcomes can be added up.

    None of them leaves before the others, since torchrun ends all when one has failed. Signals wait in the with-block:
    for the processes to which they have to be passed on, and for the outcomes of all.

    Raises:
        OptionError: They do not find each other.
    """
    if share.local_rank is None:
        yield
        return
    try:
        dist.init_process_group("gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:  # of dist: a port that is taken, a machine that does not answer
        raise OptionError(
            f"the processes cannot find each other: {shortened(str(error))}; on one machine start with torchrun "
            "--standalone"
        ) from error
    with signals_wait():
        yield
        with suppress(RuntimeError):  # of gloo: one of them has been killed, of which torchrun tells, and ends all
            dist.barrier()
    # Not after an error: the others may be waiting, and leaving is what lets the launcher stop them.
    dist.destroy_process_group()


def of_all(mine: Outcome | Refusal, share: Share) -> Outcome | None:
    """Return the outcome of all processes together to the first one, None to the others.

    If one of them is not there any more, each of the others gets its own, which says so.

    Raises:
        DeepRFTv2Error: In the first one, if none of them could begin.
    """
    found: list[Outcome | Refusal] | None = [mine] * share.count if share.number == 0 else None
    try:
        dist.gather_object(mine, found)
    except RuntimeError:  # of gloo
        alone = merged([mine], are_others_left=True)
        alone.failures.append(LOST_PROCESS)
        return alone
    return None if found is None else merged(found, are_others_left=False)
