"""Files of every kind, damaged at random and read as the commands read them."""

import copy
import shutil
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from deblur_model_helpers import batch, build
from safetensors.torch import save_file

from deeprftv2_arch.checkpoints.io import load_checkpoint, load_params, save
from deeprftv2_arch.common.lmdb_io import LmdbWriter, read_keys, read_value
from deeprftv2_arch.errors import DeepRFTv2Error
from deeprftv2_arch.models.deblur_model import DeblurModel
from deeprftv2_arch.options.option_file import read_option_file
from deeprftv2_arch.restoring.image_files import read_image
from tests.endurance.processes import run

READ, REFUSED = "read", "refused"
AT_ONCE = 10  # files of a kind that are read in one process
Read = Callable[[Path], Any]


class Mutations:
    """A whole file of every kind, and what reads it.

    Args:
        folder: Where the files are made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model, state = _trained(folder / "training")
        save(state, folder / "whole.state")
        weights = {f"layer_{number}.weight": torch.rand(8, 8) for number in range(20)}
        torch.save({"params": weights}, folder / "whole.pth")
        save_file(weights, folder / "whole.safetensors")
        (folder / "whole.yml").write_text(
            yaml.safe_dump({"name": "a", "train": {"lr": 1.0, "list": list(range(40))}}), encoding="utf-8"
        )
        self.kinds: dict[str, tuple[Path, Read]] = {
            "PNG": (_image(folder, ".png"), read_image),
            "JPEG": (_image(folder, ".jpg"), read_image),
            "LMDB": (_database(folder), _read_database),
            "YAML": (folder / "whole.yml", read_option_file),
            ".pth": (folder / "whole.pth", load_params),
            "safetensors": (folder / "whole.safetensors", load_params),
            ".state": (folder / "whole.state", self._resume),
        }
        if find_spec("av") is not None:
            self.kinds["MP4"] = (_film(folder), _read_film)
        self.contents = {kind: path.read_bytes() for kind, (path, _) in self.kinds.items()}
        self.state = state

    def tried(self, generator: np.random.Generator) -> Iterator[tuple[str, str, str | None]]:
        """Damage and read some files of every kind; yield the kind, what became of one, and what was wrong with that.

        Those of a kind are read one after the other in one process.
        """
        for kind, (path, read) in self.kinds.items():
            files = [path.with_stem(f"damaged_{number}") for number in range(AT_ONCE)]
            if kind == "LMDB":
                files = [path.parent.with_stem(file.stem) / path.name for file in files]
            for file in files:
                if file.parent != path.parent:  # with what lies beside a database
                    shutil.copytree(path.parent, file.parent, dirs_exist_ok=True)
                file.write_bytes(damaged(self.contents[kind], generator))
            yield from self._outcomes(kind, [partial(read, file) for file in files])
        states = [changed(copy.deepcopy(self.state), generator) for _ in range(AT_ONCE)]
        yield from self._outcomes("values in a .state", [partial(self._go_on, state) for state in states])

    def _outcomes(self, kind: str, works: list[Callable[[], object]]) -> Iterator[tuple[str, str, str | None]]:
        def read() -> int:
            for work in works:
                try:
                    work()
                except DeepRFTv2Error:
                    print(REFUSED, flush=True)
                except Exception:
                    print(f"lost: {traceback.format_exc()}".replace("Traceback", "traceback"), flush=True)
                else:
                    print(READ, flush=True)
            return 0

        ended = run(read, self.folder / "read.log")
        became = [line for line in ended.output.splitlines() if line in (READ, REFUSED) or line.startswith("lost: ")]
        for outcome in became:
            yield kind, outcome, ended.output if outcome.startswith("lost: ") else None
        fault = ended.fault(0)
        if fault is not None:
            yield kind, "lost", fault

    def _resume(self, path: Path) -> None:
        self._go_on(load_checkpoint(path))

    def _go_on(self, state: Any) -> None:
        """Resume from a state and do a step."""
        self.model.require_fitting(state)
        self.model.resume_training(state)
        self.model.feed_data(batch(3))
        self.model.optimize_parameters(3)
        self.model.save(0, 3)


def _trained(folder: Path) -> tuple[DeblurModel, dict[str, Any]]:
    """Return a model without gradients, whose threads would not be forked, and a state of its training."""

    def train() -> int:
        model = build(folder, {})
        model.feed_data(batch(1))
        model.optimize_parameters(1)
        model.save(0, 1)
        return 0

    folder.mkdir()
    if run(train, folder / "train.log").code:
        raise RuntimeError((folder / "train.log").read_text(encoding="utf-8"))
    return build(folder, {}), load_checkpoint(folder / "training_states" / "1.state")


def _image(folder: Path, suffix: str) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / f"whole{suffix}"), image)
    return folder / f"whole{suffix}"


def _film(folder: Path) -> Path:
    """Write a film, in a process of its own, since its threads would not be forked."""

    def write() -> int:
        import av

        with av.open(str(folder / "whole.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height = 64, 48
            for number in range(10):
                image = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            container.mux(stream.encode())
        return 0

    if run(write, folder / "film.log").code:
        raise RuntimeError((folder / "film.log").read_text(encoding="utf-8"))
    return folder / "whole.mp4"


def _read_film(path: Path) -> None:
    from deeprftv2_arch.restoring.videos.reading import Video

    for frame in Video(path).frames():
        frame.image()


def _database(folder: Path) -> Path:
    with LmdbWriter(folder / "whole.lmdb") as writer:
        for number in range(60):
            writer.put(f"scene/{number:03d}", np.full((9, 9 + number, 3), number, np.uint8))
    return folder / "whole.lmdb" / "data.mdb"


def _read_database(data: Path) -> None:
    for key in sorted(read_keys(data.parent)):
        read_value(data.parent, key)


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


STRANGE = [None, True, -1, 10**30, float("nan"), "", "a\x1b[2J", [], {}, torch.ones(3), torch.zeros(0), (1, 2), b"a"]


def changed(state: Any, generator: np.random.Generator) -> Any:
    """Take one value of a nested state out, or put a strange one in its place."""
    place = state
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = keys[generator.integers(len(keys))]
        deeper = isinstance(place[key], dict | list) and len(place[key]) and generator.random() < 0.8
        if not deeper:
            break
        place = place[key]
    if generator.random() < 0.3:
        del place[key]
    else:
        place[key] = STRANGE[generator.integers(len(STRANGE))]
    return state
