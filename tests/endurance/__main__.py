"""``python -m tests.endurance --minutes N``: damage files of every kind as long as asked, and count what goes wrong.

Each try damages a whole file at random and reads it in a process of its own, as the commands do. Right is that it is
read, or refused by an error for people. A traceback, a death, a process that hangs or one that takes more than 2 GB is
a loss. The figures of docs/reliability.md are from here.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from deeprftv2_arch.checkpoints.io import load_params
from deeprftv2_arch.common.lmdb_io import LmdbWriter, read_keys, read_value
from deeprftv2_arch.errors import DeepRFTv2Error
from deeprftv2_arch.options.option_file import read_option_file
from deeprftv2_arch.restoring.image_files import read_image

LONGEST = 60  # seconds of a try
MOST_MEMORY = 2 * 2**20  # KiB resident
Read = Callable[[Path], Any]


def _image(folder: Path, suffix: str) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / f"whole{suffix}"), image)
    return folder / f"whole{suffix}"


def _database(folder: Path) -> Path:
    with LmdbWriter(folder / "whole.lmdb") as writer:
        for number in range(60):
            writer.put(f"scene/{number:03d}", np.full((9, 9 + number, 3), number, np.uint8))
    return folder / "whole.lmdb" / "data.mdb"


def _read_database(data: Path) -> None:
    for key in sorted(read_keys(data.parent)):
        read_value(data.parent, key)


def kinds(folder: Path) -> dict[str, tuple[Path, Read]]:
    """Make a whole file of every kind; return each with what reads it."""
    weights = {f"layer_{number}.weight": torch.rand(8, 8) for number in range(20)}
    torch.save({"params": weights}, folder / "whole.pth")
    save_file(weights, folder / "whole.safetensors")
    (folder / "whole.yml").write_text(yaml.safe_dump({"name": "a", "train": {"lr": 1.0, "list": list(range(40))}}))
    return {
        "PNG": (_image(folder, ".png"), read_image),
        "JPEG": (_image(folder, ".jpg"), read_image),
        "LMDB": (_database(folder), _read_database),
        "YAML": (folder / "whole.yml", read_option_file),
        ".pth": (folder / "whole.pth", load_params),
        "safetensors": (folder / "whole.safetensors", load_params),
    }


def damaged(whole: bytes, generator: np.random.Generator) -> bytes:
    """Cut a file off, change some bytes of it, double a stretch of it, or fill one with zeros."""
    data, place = bytearray(whole), int(generator.integers(len(whole)))
    end = min(len(whole), place + int(generator.integers(1, 4096)))
    way = generator.integers(4)
    if way == 0:
        del data[place:]
    elif way == 1:
        for position in generator.integers(len(whole), size=int(generator.integers(1, 9))):
            data[position] ^= int(generator.integers(1, 256))
    elif way == 2:
        data[place:place] = whole[place:end]
    else:
        data[place:end] = bytes(end - place)
    return bytes(data)


def outcome(read: Read, path: Path) -> str:
    """Read a file in a process of its own; return what became of it."""
    child = os.fork()
    if child == 0:
        signal.alarm(LONGEST)
        try:
            read(path)
            os._exit(0)
        except DeepRFTv2Error:
            os._exit(2)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status, usage = os.wait4(child, 0)
    if usage.ru_maxrss > MOST_MEMORY:
        return "more than 2 GB"
    if os.WIFSIGNALED(status):
        return "hang" if os.WTERMSIG(status) == signal.SIGALRM else f"death by signal {os.WTERMSIG(status)}"
    return {0: "read", 2: "refused"}.get(os.WEXITSTATUS(status), "traceback")


def main() -> int:
    """Try until the time is over; print tries and losses of every kind, and return 1 if there are losses."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    end, generator = time.monotonic() + 60 * args.minutes, np.random.default_rng(args.seed)
    found: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="endurance_") as name:
        prepared = kinds(Path(name))
        contents = {kind: path.read_bytes() for kind, (path, _) in prepared.items()}
        while time.monotonic() < end:
            for kind, (path, read) in prepared.items():
                path.write_bytes(damaged(contents[kind], generator))
                found[kind, outcome(read, path)] += 1
    for kind in prepared:
        results = {result: number for (one, result), number in sorted(found.items()) if one == kind}
        listed = ", ".join(f"{number:,} {result}" for result, number in results.items())
        sys.stdout.write(f"{kind}: {sum(results.values()):,} tries: {listed}\n")
    losses = sum(number for (_, result), number in found.items() if result not in ("read", "refused"))
    sys.stdout.write(f"{sum(found.values()):,} tries, {losses:,} losses (LMDB {'.'.join(map(str, lmdb.version()))})\n")
    return int(losses > 0)


if __name__ == "__main__":
    sys.exit(main())
