"""``python -m benchmarks.all_on_gpu --minutes 10``: all that is to be known of a GPU, in one sitting on a borrowed one.

In order of worth and within the minutes: the tests marked ``gpu``; the selective scan; the training memory; inference
and a training step; then the compiled networks, one after the other. Needs PyTorch and Triton, and neither BasicSR nor
a network connection; what a missing package forbids is skipped, and the report says so.

Every stage runs in a process of its own, which is ended when its time is up: a crash, a hang or too little memory costs
the rest of that stage alone. A stage that cannot finish in the time that is left is not begun. The report
(gpu_<device>.md, and gpu_<device>.json with every number) is written anew with every result.
"""

import argparse
import faulthandler
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import connection, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from benchmarks.gpu_report import Outcome, Record, Sitting, goals, markdown
from benchmarks.gpu_stages import ON_GPU, REHEARSED, Stage, stages
from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.errors import WriteError

RESULTS = Path(__file__).parent / "results"
RESERVE = 5.0  # seconds before the end in which nothing is measured
LOG_LINES = 40  # of a stage that failed
FORKED = get_context("forkserver")  # which imports once, before any thread or CUDA is started
FORKED.set_forkserver_preload(["benchmarks.gpu_stages"])


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.all_on_gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10, help="that all may take together; default: 10")
    parser.add_argument("--output", type=Path, help="folder of the report; default: benchmarks/results")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="try all out on a CPU, with small shapes and Triton's interpreter, and write to a temporary folder "
        "if --output names none",
    )
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error(f"--minutes {options.minutes:g}: must be more than 0")
    if not options.rehearse and not torch.cuda.is_available():
        parser.error("no CUDA device here; --rehearse tries all out on a CPU")
    if options.rehearse:
        os.environ["TRITON_INTERPRET"] = "1"  # read by Triton when it is imported, in the processes of the stages
    folder = options.output or (Path(tempfile.mkdtemp(prefix="gpu_rehearsal_")) if options.rehearse else RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the process of a stage is ended too
    sit(Sitting(options.minutes, options.rehearse), stages(REHEARSED if options.rehearse else ON_GPU), folder)


def sit(sitting: Sitting, to_run: Iterable[Stage], folder: Path) -> None:
    """Run the stages one after the other, as long as there is time, and keep the report up to date."""
    end = time.monotonic() + 60 * sitting.minutes - RESERVE
    longest: dict[str, float] = {}  # duration of a stage by its kind
    for stage in to_run:
        left = end - time.monotonic()
        needs = longest.get(stage.kind, stage.needs)
        if left < needs:
            reason = f"needs about {needs:.0f} s, and {max(left, 0):.0f} s are left"
            outcome = Outcome(stage.name, "not begun", reason=reason)
        else:
            print(f"{stage.name} ...", flush=True)
            outcome = run_stage(stage, min(stage.limit, left), sitting, folder)
            if stage.kind:
                longest[stage.kind] = max(outcome.seconds, longest.get(stage.kind, 0))
        sitting.outcomes.append(outcome)
        write(sitting, folder)
        print(f"{stage.name}: {outcome.status} ({outcome.seconds:.0f} s) {outcome.reason}", flush=True)
    print()
    for goal in goals(sitting.records):
        print(f"{goal.verdict}: {goal.text} {f'({goal.found})' if goal.found else ''}")
    print(f"Written to {folder / f'gpu_{sitting.slug}.md'}")


def run_stage(stage: Stage, limit: float, sitting: Sitting, folder: Path) -> Outcome:
    """Run one stage in a process of its own for at most ``limit`` seconds; its records go to ``sitting``."""
    start = time.monotonic()
    receiver, sender = FORKED.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log.txt"
        log.touch()
        process = FORKED.Process(target=_in_child, args=(stage, sender, log))
        process.start()
        sender.close()
        try:
            in_time = _receive(receiver, process, start + limit, sitting, folder)
        finally:
            _end(process)
        seconds = time.monotonic() - start
        if in_time and process.exitcode == 0:
            return Outcome(stage.name, "done", seconds)
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-LOG_LINES:]
    if in_time:
        last = said[-1] if said else f"ended with exit code {process.exitcode}"
        return Outcome(stage.name, "failed", seconds, last, "\n".join(said))
    return Outcome(stage.name, "out of time", seconds, f"ended after {limit:.0f} s", "\n".join(said))


def _receive(
    receiver: connection.Connection, process: ForkServerProcess, end: float, sitting: Sitting, folder: Path
) -> bool:
    """Take records until the process has ended; False if it has not by ``end``."""
    while (left := end - time.monotonic()) > 0:
        ready = connection.wait([receiver, process.sentinel], timeout=left)
        if receiver in ready:
            try:
                record: Record = json.loads(receiver.recv_bytes())
            except EOFError:
                process.join(max(0, end - time.monotonic()))
                return process.exitcode is not None
            sitting.records.append(record)
            write(sitting, folder)
        elif ready:
            process.join()
            return True
    return False


def _end(process: ForkServerProcess) -> None:
    """End the process and all that it has started; where it stood is in its log."""
    if process.is_alive() and process.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGUSR1)
            process.join(1)
    if process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # should it not lead its group yet
    process.join(5)


def _in_child(stage: Stage, sender: connection.Connection, log: Path) -> None:
    """Run a stage; what it and its libraries print goes to the log."""
    os.setsid()  # so that all that it starts can be ended with it
    with log.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    stage.run(lambda record: sender.send_bytes(json.dumps(record).encode()))


def write(sitting: Sitting, folder: Path) -> None:
    """Write the report and the numbers, each whole or not at all; what cannot be written now may be the next time."""
    path = folder / f"gpu_{sitting.slug}.md"
    try:
        write_atomically(path, markdown(sitting).encode())
        write_atomically(path.with_suffix(".json"), (json.dumps(sitting.raw(), indent=1) + "\n").encode())
    except WriteError as error:
        print(error, flush=True)


if __name__ == "__main__":
    main()
