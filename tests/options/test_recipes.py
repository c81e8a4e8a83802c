"""The option files of the checkout are what the recipes make; the schema that they name; list and copy."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from launch_helpers import REPOSITORY, build_wheel

from deeprftv2_arch import recipes
from deeprftv2_arch.__main__ import main
from deeprftv2_arch.errors import OptionError, WriteError
from deeprftv2_arch.options.json_schema import schema_text
from deeprftv2_arch.options.option_file import read_option_file
from deeprftv2_arch.recipes.writing import all_files, copy

OPTIONS = REPOSITORY / "options"
TEMPLATES = REPOSITORY / "deeprftv2_arch" / "recipes"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json.loads(schema_text())


def run_main(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["deeprftv2_arch", *words])
    main()


def test_the_files_are_what_make_options_writes() -> None:
    wanted = all_files(schema_text())
    found = {path.relative_to(OPTIONS).as_posix() for path in OPTIONS.rglob("*") if path.is_file()}
    assert found == wanted.keys()
    different = [name for name, text in wanted.items() if (OPTIONS / name).read_text(encoding="utf-8") != text]
    assert different == [], "run: make options"


@pytest.mark.parametrize("name", recipes.names())
def test_a_file_names_the_schema_and_keeps_to_it(name: str, schema: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = OPTIONS / f"{name}.yml"
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={recipes.schema_beside(name)}"
    assert (path.parent / first.partition("=")[2]).resolve() == OPTIONS / "schema.json"
    jsonschema.Draft7Validator(schema).validate(read_option_file(path))


def test_the_schema_refuses_what_reading_refuses(schema: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft7Validator(schema)
    for section, key, value in (
        ("train", "ema_decya", 0.9),
        ("train", "ema_decay", 1),
        ("network_g", "dim", "48"),
        ("logger", "print_freq", 0),
        ("datasets", "training", {}),
    ):
        content = read_option_file(OPTIONS / "DeepRFTv2_GoPro.yml")
        content[section][key] = value
        assert not validator.is_valid(content), key


def test_the_schema_describes_every_key_of_this_project_s_sections(schema: dict[str, Any]) -> None:
    for name, definition in schema["$defs"].items():
        if name.endswith(("Section", "Options")):
            for key, value in definition["properties"].items():
                assert value.get("description"), f"{name}: {key}"
    networks = {case["if"]["properties"]["type"]["const"]: case["then"] for case in schema["$defs"]["Network"]["allOf"]}
    assert networks["DeepRFTv2"]["properties"]["dim"]["description"].startswith("Channels of the finest level, even")


@pytest.mark.parametrize(
    "line",
    [
        "num_worker_per_gpu: 4",
        "plugin: !!python/name:deeprftv2_arch.__version__",
        "num_gpu: auto",
        "eta_min: !!float 1e-7",
        "max_skipped_steps: 0",
        "param_key_g: params  # which weights",
        '"clip_grad_norm": 0.01,',
        '"print_freq": 200',
    ],
)
def test_a_default_stands_in_one_place(line: str) -> None:
    files = [path for path in TEMPLATES.rglob("*") if path.suffix in (".py", ".j2")]
    assert sum(path.read_text(encoding="utf-8").count(line) for path in files) == 1


def test_list_shows_every_recipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run_main(["options", "list"], monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == recipes.names()
    assert lines[0] == ("DeepRFTv2_GoPro                DeepRFTv2-B trained on GoPro with the recipe of the paper")


def test_list_needs_neither_pytorch_nor_basicsr() -> None:
    code = (
        "import sys; from deeprftv2_arch.recipes import names, title; names(), title('DeepRFTv2_GoPro'); "
        "assert not {'torch', 'basicsr', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_copy_writes_a_file_and_the_schema(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main(["options", "copy", "options/test/DeepRFTv2_GoPro.yml"], monkeypatch)
    assert "DeepRFTv2_GoPro.yml: written" in capsys.readouterr().out
    assert sorted(path.name for path in here.iterdir()) == ["DeepRFTv2_GoPro.yml", "schema.json"]
    text = (here / "DeepRFTv2_GoPro.yml").read_text(encoding="utf-8")
    assert text.splitlines()[0] == "# yaml-language-server: $schema=schema.json"
    assert read_option_file(here / "DeepRFTv2_GoPro.yml") == read_option_file(OPTIONS / "test" / "DeepRFTv2_GoPro.yml")
    assert (here / "schema.json").read_text(encoding="utf-8") == schema_text()


def test_copy_into_a_folder_that_is_not_there(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for destination, folder in (("x/y/", "x/y"), ("x/", "x"), ("x/new.yml", "x")):
        with pytest.raises(SystemExit, match="2"):
            run_main(["options", "copy", "DeepRFTv2_GoPro", destination], monkeypatch)
        assert f"error: {folder}: there is no such folder; make it first" in capsys.readouterr().err


def test_a_reader_that_stops_ends_a_command_quietly() -> None:
    command = [sys.executable, "-m", "deeprftv2_arch", "options", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_copy_replaces_nothing(here: Path) -> None:
    (here / "mine.yml").write_text("mine")
    (here / "schema.json").write_text("mine")
    with pytest.raises(OptionError, match=r"^mine\.yml: is there already and stays as it is; choose another name"):
        copy("quickstart", Path("mine.yml"), "{}")
    assert copy("quickstart", Path(), "{}") == Path("quickstart.yml")
    assert [(here / name).read_text() for name in ("mine.yml", "schema.json")] == ["mine", "mine"]
    with pytest.raises(WriteError, match="cannot be written: No such file or directory"):
        copy("quickstart", Path("nowhere/x.yml"), "{}")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("DeepRFTv2_GoPr", "did you mean 'DeepRFTv2_GoPro'?"),
        ("test/UFPNet_HIDE2", "did you mean 'test/UFPNet_HIDE'?"),
        ("qqq", "python -m deeprftv2_arch options list shows them"),
        ("../DeepRFTv2_GoPro", "did you mean 'DeepRFTv2_GoPro'?"),
    ],
)
def test_a_recipe_that_there_is_not(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, advice: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_main(["options", "copy", name], monkeypatch)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"python -m deeprftv2_arch: error: there is no recipe {name!r}; {advice}\n"
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_the_recipes_are_part_of_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="building the project takes setuptools 77 or later")
    held = set(zipfile.ZipFile(build_wheel("wheel", tmp_path)).namelist())
    templates = {path.relative_to(REPOSITORY).as_posix() for path in TEMPLATES.rglob("*.j2")}
    assert templates
    assert templates <= held
