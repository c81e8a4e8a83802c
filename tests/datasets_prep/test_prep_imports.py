"""The ground floor alone: neither PyTorch nor BasicSR, also in the worker processes, and nothing that Windows lacks."""

import os
import subprocess
import sys
from pathlib import Path

from prep_trees import hashes, make_gopro

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torchvision", "basicsr", "scipy", "pydantic")
# Windows' standard library, as far as the ground floor could tell; what it imports is loaded before.
ON_WINDOWS = """
import sys, types, concurrent.futures.process, multiprocessing.popen_spawn_posix, shutil, subprocess, tempfile
import cv2, lmdb, numpy, tqdm
sys.platform = "win32"
sys.modules["msvcrt"] = types.SimpleNamespace(locking=lambda descriptor, mode, count: None, LK_NBLCK=2)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
from pathlib import Path
from pkgutil import iter_modules
import deeprftv2_arch.common, datasets_prep
for package in (deeprftv2_arch.common, datasets_prep):
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            __import__(module.name)
from datasets_prep.command_line import main
sys.exit(main(["gopro", "--root", sys.argv[1], "--out", sys.argv[2], "--workers", "1", "--crop", "32"]))
"""


def run(*words: object, path: Path = REPOSITORY) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(path), str(REPOSITORY)))}
    return subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True)


def forbid(folder: Path) -> Path:
    """Make modules that fail when they are imported, in place of the heavy ones."""
    folder.mkdir()
    for name in HEAVY:
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')\n", encoding="utf-8")
    return folder


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    result = run("-m", "datasets_prep", "--help", path=forbid(tmp_path / "forbidden"))
    assert (result.returncode, result.stderr) == (0, "")
    assert "sr-benchmarks" in result.stdout
    loaded = f"import sys, datasets_prep.command_line; print(sorted(set({HEAVY}) & sys.modules.keys()))"
    assert run("-c", loaded).stdout == "[]\n"


def test_workers_load_nothing_heavy(tmp_path: Path) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    words = ("-m", "datasets_prep", "gopro", "--root", root, "--crop", "32", "--out")
    result = run(*words, tmp_path / "two", "--workers", "2", path=forbid(tmp_path / "forbidden"))
    assert result.returncode == 0, result.stderr
    assert run(*words, tmp_path / "one", "--workers", "1").returncode == 0
    assert hashes(tmp_path / "two") == hashes(tmp_path / "one")


def test_nothing_needs_what_windows_lacks(tmp_path: Path) -> None:
    root = make_gopro(tmp_path / "GOPRO_Large")
    result = run("-c", ON_WINDOWS, root, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    names = [path.name for path in (tmp_path / "out/train").iterdir()]
    assert sorted(names) == ["blur.lmdb", "sharp.lmdb"]
    assert sorted(path.name for path in (tmp_path / "out/train/blur.lmdb").iterdir()) == [
        "data.mdb",
        "meta_info.txt",
        "preparation.json",
    ]
