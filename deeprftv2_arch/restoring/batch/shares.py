"""Several processes that share what there is to restore: those of torchrun, or the jobs of an array.

Which file is whose depends on the names of all results alone, and which frames of a film on their numbers. So every
process plans everything, restores its share, and writes what one process would have written. The last one that has
restored its part of a film puts it together.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
import torch.distributed as dist

from deeprftv2_arch.errors import OptionError, shortened
from deeprftv2_arch.restoring.batch.plan import Part, Plan, is_video
from deeprftv2_arch.restoring.batch.restore_files import Outcome

LEFT_OVER = "start with torchrun, or unset what is left of it"
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
            replace(job, part=Part((self.number - place) % self.count, self.count)) if shared else job
            for place, job in enumerate(plan.jobs)
            if (shared := is_video(job.source) and not films_as_wholes) or place % self.count == self.number
        ]
        return replace(plan, jobs=mine) if self.number == 0 else Plan(plan.folder, mine)

    def device(self) -> str | None:
        """Return the GPU of this process; None where the user's choice or the default is right."""
        if self.local_rank is None or not torch.cuda.is_available():
            return None
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"


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
    yield
    # Not after an error: the others may be waiting, and leaving is what lets the launcher stop them.
    dist.destroy_process_group()


def of_all(outcome: Outcome, share: Share) -> Outcome | None:
    """Return the outcome of all processes together to the first one, None to the others."""
    if share.local_rank is None:
        return outcome
    outcomes: list[Outcome] | None = [outcome] * share.count if share.number == 0 else None
    dist.gather_object(outcome, outcomes)
    if outcomes is None:
        return None
    whole = Outcome()
    for one in outcomes:
        whole.restored += one.restored
        whole.done += one.done
        whole.failures += one.failures
        whole.tiles += one.tiles
        whole.in_part += one.in_part
        whole.left_out += one.left_out
        whole.elsewhere += one.elsewhere
        whole.left += one.left
    # Every process that has reached a film may have found the same fault, and one of them may have completed it.
    whole.failures = list(dict.fromkeys(whole.failures))
    incomplete = {job.source: job for job in whole.in_part if job.missing().outputs()}
    if not whole.left:
        named = " ".join(whole.failures)
        whole.failures += [
            f"{source}: not all frames were restored, since a process has failed; the same command goes on"
            for source in incomplete
            if str(source) not in named
        ]
    whole.in_part = []
    return whole
