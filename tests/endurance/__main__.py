"""``python -m tests.endurance --minutes N``: kill, stop and damage as long as asked, and count what goes wrong.

Commands that train, prepare and restore are killed, sent signals, alone or with all that they have started, and left
without room on the disk, as are those that measure and draw figures, at random, and then run again: what is there at
any time has to be whole, and the end that of an undisturbed run to the last bit. Files
of every kind are damaged at random and read: they have to be read, or refused by an error for people. A traceback, a
death, a process that hangs or one that takes more than 2 GB is a loss. The figures of docs/reliability.md are from
here.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import lmdb
import matplotlib.backends.backend_agg
import matplotlib.backends.backend_pdf  # noqa: F401
import numpy as np
import torch

# So that no process imports them anew.
import deeprftv2_arch.analysis.fft_relu
import deeprftv2_arch.analysis.figure_files
import deeprftv2_arch.launch.pipeline
import deeprftv2_arch.measuring.evaluation
import deeprftv2_arch.measuring.testing
import deeprftv2_arch.restoring.batch.restore_files  # noqa: F401
from tests.endurance.commands import prepare_commands
from tests.endurance.disturbances import killed, small_disks_are_possible, stopped, without_room
from tests.endurance.mutations import Mutations

LOST = "lost"


def rounds(folder: Path, generator: np.random.Generator) -> Iterator[tuple[str, str, str | None]]:
    """Yield, without end, what was tried, what became of it, and what was wrong with that."""
    commands = prepare_commands(folder)
    mutations = Mutations(folder)
    has_disks = small_disks_are_possible(folder / "val")
    if not has_disks:
        print("no full disks: this process may mount none")
    tried = folder / "tried"
    while True:
        for command in commands:
            disturbances = [] if command.is_brief else [killed, stopped]
            for disturb in disturbances + [without_room] * has_disks:
                yield from ((kind, "right", fault) for kind, fault in disturb(command, tried, generator))
            yield from mutations.tried(generator)


def main() -> int:
    """Try until the time is over; print tries and losses of every kind, and return 1 if there are losses."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    folder = Path(tempfile.mkdtemp(prefix="endurance_"))  # removed here, and not by processes that are forked
    found: Counter[tuple[str, str]] = Counter()
    end = time.monotonic() + 60 * args.minutes
    try:
        for kind, became, fault in rounds(folder, np.random.default_rng(args.seed)):
            found[kind, LOST if fault else became] += 1
            if fault:
                print(f"LOST: {kind}: {fault}", flush=True)
            if time.monotonic() > end:
                break
    except KeyboardInterrupt:
        print("stopped")
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # a process that was killed may leave others that still write there
    return report(found)


def report(found: Counter[tuple[str, str]]) -> int:
    """Print the table, and return 1 if there are losses."""
    columns = ("right", "read", "refused", LOST)
    print(f"| kind | tries | {' | '.join(columns)} |\n|---|{'---|' * (1 + len(columns))}")
    for kind in dict.fromkeys(kind for kind, _ in found):
        numbers = [found[kind, column] for column in columns]
        print(f"| {kind} | {sum(numbers):,} | {' | '.join(f'{number:,}' for number in numbers)} |")
    losses = sum(number for (_, became), number in found.items() if became == LOST)
    print(f"{sum(found.values()):,} tries, {losses:,} losses (LMDB {'.'.join(map(str, lmdb.version()))})")
    return int(losses > 0)


if __name__ == "__main__":
    sys.exit(main())
