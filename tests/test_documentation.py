"""The commands and the Python in README and docs/ do what they say, and the site is built without a warning.

Blocks are run as they stand, page by page, in a folder with small images and weights. A block below a comment ``<!--
needs: ... -->`` needs what a test has not; of its command lines all words are checked, and that option files are there.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from launch_helpers import REPOSITORY, TINY_NETWORK
from prep_trees import make_gopro

import datasets_prep.command_line
from deeprftv2_arch import recipes
from deeprftv2_arch.commands.main import build_parser, main
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
RUN_ELSEWHERE = ("add_a_network.md", "compare.md", "own_pictures.md")  # each by a test of its own
BLOCK = re.compile(r"^(?:<!-- needs: ([^\n]+) -->\n)?```(sh|python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PACKAGE = "deeprftv2_arch"


@dataclass(frozen=True)
class Block:
    """A block of code of a page; ``needs`` is what a test has not."""

    needs: str
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page.read_text(encoding="utf-8"))]


def command_lines(code: str) -> list[list[str]]:
    """Return the words of every line, without comments and without what starts several processes."""
    lines = [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines()]
    return [_without_launcher(line) for line in lines if line]


def _without_launcher(line: list[str]) -> list[str]:
    """Leave out torchrun or srun and its options: what they start is a module, a file or python."""
    if line[0] not in ("torchrun", "srun"):
        return line
    first = next(i for i, word in enumerate(line) if word in ("-m", "python") or word.endswith(".py"))
    return line[first:]


def words_of_command(line: list[str]) -> list[str] | None:
    """Return the words behind ``deeprftv2``, or None of another program's line."""
    line = line[1:] if line[0] == "python" else line
    if line[0] == "deeprftv2":
        return line[1:]
    if line[:2] == ["-m", PACKAGE]:
        return line[2:]
    if line[0] == "-m" and line[1] in (f"{PACKAGE}.train", f"{PACKAGE}.test"):
        return [line[1].partition(".")[2], *line[2:]]
    return None


def check(line: list[str]) -> None:
    """See that a command takes all its words, and that the option files and programs that it names are there."""
    words = words_of_command(line)
    if words is not None:
        build_parser().parse_args(words)
    elif line[0] == "pip":
        project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
        for extra in re.findall(r"\[(\w+)\]", " ".join(line)):
            assert f"\n{extra} = [" in project
    elif line[0] == "make":
        targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert line[1] in targets
    elif line[:2] == ["python", "-m"]:
        assert find_spec(line[2]) is not None, line
        if line[2] == "datasets_prep":
            datasets_prep.command_line.build_parser().parse_args(line[3:])
    else:
        assert line[0].endswith("basicsr/train.py") or line[:2] == ["python", "basicsr/test.py"], line
    for option in ("-opt", "--options"):
        if option in line and line[line.index(option) + 1].startswith("options/"):
            assert line[line.index(option) + 1].removeprefix("options/").removesuffix(".yml") in recipes.names()


def run(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command of this project in the working directory; of others only the words are checked."""
    words = words_of_command(line)
    check(line)
    if words is not None:
        monkeypatch.setattr("sys.argv", ["deeprftv2", *words])
        main()  # ends this process with an exit code, so fails the test, where something is wrong
    elif line[:3] == ["python", "-m", "datasets_prep"]:
        assert datasets_prep.command_line.main(line[3:]) == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with what the pages take for granted, and work in it."""
    generator = np.random.default_rng(0)
    images = ("photo.jpg", "blurred.png", "sharp.png", "holiday/a.jpg", "holiday/beach/b.png", "scans/c.png")
    for name in (*images, "photographs/d.png", "photographs/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        noise = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        size = (320, 256) if name.startswith("photographs") else (48, 32)
        cv2.imwrite(str(tmp_path / name), cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC))
    torch.manual_seed(0)
    network = DeepRFTv2(**{key: value for key, value in TINY_NETWORK.items() if key != "type"})
    torch.save({"params": network.state_dict()}, tmp_path / "net_g_latest.pth")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_do_what_they_say(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            yaml.safe_load(re.sub(r"!!python/name:\S+", "", block.code))
        elif block.language == "sh":
            for line in command_lines(block.code):
                if block.needs or page.name in RUN_ELSEWHERE:
                    check(line)
                else:
                    run(line, monkeypatch)
        elif not block.needs and page.name not in RUN_ELSEWHERE:
            exec(compile(block.code, page.name, "exec"), {"__name__": page.stem})


def test_every_block_of_code_is_of_a_kind_that_is_looked_at() -> None:
    for page in PAGES:
        fences = re.findall(r"^```(\w*)$", page.read_text(encoding="utf-8"), re.MULTILINE)[::2]
        assert fences.count("sh") + fences.count("python") + fences.count("yaml") == len(blocks(page)), page
        assert set(fences) <= {"sh", "python", "yaml", "bibtex", "text", ""}, page


@pytest.mark.slow
def test_gopro_is_prepared_as_readme_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_gopro(folder / "GOPRO_Large")
    lines = [line for block in blocks(REPOSITORY / "README.md") for line in command_lines(block.code)]
    dry, line = (line for line in lines if line[:3] == ["python", "-m", "datasets_prep"])
    assert dry == [*line, "--dry-run"]
    assert datasets_prep.command_line.main([*dry[3:], "--crop", "64"]) == 0
    assert "datasets/GoPro/train" in capsys.readouterr().out
    assert not (folder / "datasets").exists()


def test_a_wrong_word_in_a_block_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("deeprftv2 restore photo.jpg --nonsense", "deeprftv2 train -opt options/No_Such_File.yml", "make tea"):
        (line,) = command_lines(text)
        with pytest.raises((SystemExit, AssertionError)):
            check(line)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for package in ("material", "mkdocstrings"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "site" / "reference" / "options.html").read_text(encoding="utf-8")
    for words in ("Channels of the finest level", "patch_stages", "clip_grad_norm"):
        assert words in text
    assert "--memory-limit" in (tmp_path / "site" / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "from_checkpoint" in (tmp_path / "site" / "python.html").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "site")


def test_links_within_the_repository_lead_to_files() -> None:
    """Where people read the pages beside the code, without the site."""
    guides = [REPOSITORY / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md")]
    for page in [*PAGES, *guides]:
        for link in re.findall(r"\]\((?![a-z]+:)([^)\s#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), (page.name, link)


def test_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 170


def test_commands_of_the_reference_are_all_there() -> None:
    from tools.docs_site.reference import commands_page

    page = commands_page()
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            assert all(f"## {name}\n" in page for name in action.choices)
