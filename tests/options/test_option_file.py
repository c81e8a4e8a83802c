"""Reading option files that may come from anybody: what is accepted, what is refused, and that nothing is run."""

import os
import re
import site
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deeprftv2_arch.errors import LONGEST_VALUE, OptionError, shown
from deeprftv2_arch.options.option_file import MOST_NODES, change_options, read_option_file

# What each would leave behind, were it run.
PROGRAMS = (
    "x: !!python/object/apply:os.system ['touch PWNED']",
    "plugin: !!python/object/apply:os.system ['touch PWNED']",
    "x: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [PWNED]]",
    "x: !!python/object/new:os.system ['touch PWNED']",
    "x: !!python/object:pathlib.Path {}",
    "x: !!python/module:os",
    "plugin: !!python/module:os",
    "x: !!python/name:os.system",
    "plugin: [!!python/name:deeprftv2_arch.__version__ , !!python/object/apply:os.system ['touch PWNED']]",
    "plugin: &p !!python/name:deeprftv2_arch.__version__\nx: *p",
    "train: {plugin: !!python/name:os.system }",
    "x: !!python/tuple [1, 2]",
    "x: !mine 1",
    "? !!python/object/apply:os.system ['touch PWNED']\n: 1",
)


def read(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "run.yml"
    path.write_text(text, encoding="utf-8")
    return read_option_file(path)


def install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have modules of a folder imported as with PYTHONPATH."""
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.syspath_prepend(folder)


def refusal(folder: Path, text: str) -> str:
    """Return the one line that says why a text is refused, without the file's name."""
    with pytest.raises(OptionError) as caught:
        read(folder, text)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 400
    return line.removeprefix(f"{folder / 'run.yml'}: ")


@pytest.mark.parametrize("text", PROGRAMS)
def test_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    line = refusal(tmp_path, f"name: a\n{text}\n")
    assert " is refused and nothing was run; an option file holds plain values" in line
    assert line.startswith(("line 2: !", "line 3: !"))
    assert [path.name for path in tmp_path.iterdir()] == ["run.yml"]


@pytest.mark.parametrize(
    "change", ["name=!!python/object/apply:os.system ['touch PWNED']", "plugin=!!python/name:os.x"]
)
def test_nothing_is_run_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=r"^--force_yml .* is refused and nothing was run"):
        change_options({"name": "a"}, [change])
    assert list(tmp_path.iterdir()) == []


def test_a_plugin_is_imported_and_its_name_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_plugin").mkdir()
    (tmp_path / "users_plugin" / "__init__.py").write_text("__version__ = '3.1'\ndef run(): raise SystemExit\n")
    (tmp_path / "users_plugin" / "archs.py").write_text("")
    install(monkeypatch, tmp_path)
    assert read(tmp_path, "plugin: !!python/name:users_plugin.__version__")["plugin"] == "users_plugin.__version__"
    names = ["users_plugin.__version__", "users_plugin.archs", "users_plugin.run", "users_plugin"]
    lines = "\n".join(f"  - !!python/name:{name}" for name in names)
    assert read(tmp_path, f"plugin:\n{lines}\n")["plugin"] == names
    assert "users_plugin.archs" in sys.modules


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_package.x", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("json.no_such_name", "ModuleNotFoundError: No module named 'json.no_such_name'"),
        ("broken_plugin.x", "ZeroDivisionError: division by zero"),
        ("leaving_plugin.x", "SystemExit: 3"),
    ],
)
def test_a_plugin_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    (tmp_path / "broken_plugin.py").write_text("1 / 0\n")
    (tmp_path / "leaving_plugin.py").write_text("raise SystemExit(3)\n")
    install(monkeypatch, tmp_path)
    assert refusal(tmp_path, f"plugin: !!python/name:{name}") == (
        f"line 1: plugin: cannot import {name} ({reason}); "
        "pip install it, name its folder in PYTHONPATH, or correct the name"
    )


@pytest.mark.parametrize("entry", ["", "{folder}"])
def test_a_module_beside_the_file_or_in_the_working_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    (tmp_path / "evil_beside.py").write_text("open('PWNED', 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry.format(folder=tmp_path), *sys.path])
    before = list(sys.path)
    assert "No module named 'evil_beside'" in refusal(tmp_path, "plugin: !!python/name:evil_beside.x")
    assert sys.path == before
    assert not (tmp_path / "PWNED").exists()


def test_an_editable_installation_is_imported_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.pth").write_text(f"import os\n{tmp_path}\n")
    (tmp_path / "edited_plugin.py").write_text("x = 1\n")
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(tmp_path / "site")])
    monkeypatch.syspath_prepend(tmp_path)
    assert read(tmp_path, "plugin: !!python/name:edited_plugin.x")["plugin"] == "edited_plugin.x"


@pytest.mark.parametrize(
    "plugin",
    [
        *("!!python/name:os.system [a]", "!!python/name:os.system 'a'", "!!python/name:os.system {a: 1}"),
        *("[[1]]", "[!!python/name:json.x , 1]", "{a: 1}", "1", "!!python/name: ", "!!python/name:unittest.__main__ "),
        "{name: !!python/name:os.system }",
    ],
)
def test_a_plugin_is_the_name_of_a_module_and_nothing_else(tmp_path: Path, plugin: str) -> None:
    line = refusal(tmp_path, f"plugin: {plugin}")
    assert line.startswith("line 1: plugin: ")
    assert "expected the name of a module" in line


@pytest.mark.parametrize("value", ["!!bool foo", "!!timestamp foo", '!!int ""', '!!float ""'])
def test_a_text_that_is_not_of_its_type(tmp_path: Path, value: str) -> None:
    expected = rf"not valid YAML: line 1: '\w*' is not of the type {value[2:].split()[0]}"
    assert re.fullmatch(expected, refusal(tmp_path, f"a: {value}"))
    with pytest.raises(OptionError, match=rf"^--force_yml .*: the value is {expected}$"):
        change_options({}, [f"a={value}"])


def test_keys_are_compared_as_they_are_read(tmp_path: Path) -> None:
    said = "the key {}, also written {}, stands twice in one section, in {}; remove one"
    assert refusal(tmp_path, "yes: 1\ntrue: 2\n") == said.format("'true'", "'yes'", "lines 1 and 2")
    assert refusal(tmp_path, "{1: 1, 0x1: 2}") == said.format("'0x1'", "'1'", "line 1, columns 2 and 8")
    merged = read(tmp_path, "a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, <<: *b}\n")["c"]
    assert merged == {"x": 1, "y": 2}


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    text = "name: a\ntrain:\n  lr: 1\n  other: {lr: 2}\n  lr: 3\n"
    expected = "the key 'lr' stands twice in one section, in lines 3 and 5; remove one"
    assert refusal(tmp_path, text) == expected
    assert refusal(tmp_path, "a: 1\nb: 2\n'a': 3\n") == expected.replace("lr", "a").replace("3 and 5", "1 and 3")


def test_merge_keys(tmp_path: Path) -> None:
    text = "base: &base {x: 1, y: 2}\nmore: &more {z: 3}\none: {<<: *base, y: 5}\ntwo: {<<: [*base, *more], w: 4}\n"
    found = read(tmp_path, text)
    assert found["one"] == {"x": 1, "y": 5}
    assert found["two"] == {"x": 1, "y": 2, "z": 3, "w": 4}


def test_order_and_values_are_the_file_s(tmp_path: Path) -> None:
    found = read(tmp_path, "b: 1\na: [1.0e-3, 1e-3, !!float 1e-3, ~, true, 0x10, 'x']\n")
    assert list(found) == ["b", "a"]
    assert found["a"] == [0.001, "1e-3", 0.001, None, True, 16, "x"]


def test_aliases_that_unfold_to_too_much_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["b0: &b0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"b{n}: &b{n} [{','.join([f'*b{n - 1}'] * 10)}]" for n in range(1, 30)]
    start = time.process_time()
    line = refusal(tmp_path, "\n".join(lines))
    assert time.process_time() - start < 5
    assert line == f"unfolds to more than {MOST_NODES:,} values; an option file needs no such aliases"
    assert len(read(tmp_path, "\n".join(lines[:4]))["b3"]) == 10


CHAIN = "\n".join(["b0: &b0 [x]", *(f"b{n}: &b{n} {{c: *b{n - 1}}}" for n in range(1, 60))])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a [*a]", "not valid YAML: a value contains itself by an alias"),
        ("[" * 5000, "has more than 50 lists or sections in each other"),
        ("- " * 5000, "has more than 50 lists or sections in each other"),
        ("? " * 5000, "has more than 50 lists or sections in each other"),
        (CHAIN, "has more than 50 lists or sections in each other"),
        ("a: 2001-99-99", "not valid YAML: line 1: month must be in 1..12"),
        (f"a: {'9' * 5000}", "not valid YAML: line 1: Exceeds the limit"),
        ("? {a: 1}\n: 2", "not valid YAML: line 1: found unhashable key"),
        ("a: 'x\n", "not valid YAML: line 2: found unexpected end of stream"),
        ("", "not an option file"),
        (f"a: *{'x' * 3000}", "not valid YAML: line 1: found undefined alias"),
    ],
)
def test_other_faults_are_one_short_line(tmp_path: Path, text: str, expected: str) -> None:
    assert refusal(tmp_path, text).startswith(expected)


def test_a_value_is_shown_in_one_line() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert shown("  ") == "'  '"
    assert shown(16**4000).startswith("0x1000")
    assert shown([16**4000]) == "a list too long to show"
    assert len(shown(16**4000)) == LONGEST_VALUE
    assert len(shown("x" * 1000)) == len(shown([1] * 1000)) == LONGEST_VALUE


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(OptionError, match=r"/dev/zero: is longer than"):
        read_option_file(Path("/dev/zero"))


@pytest.mark.parametrize("value", [".nan", "-.inf", "1.0e+999", '"a\\0b"'])
def test_values_that_no_option_can_have(tmp_path: Path, value: str) -> None:
    assert refusal(tmp_path, f"a: 1\nb: [{value}]").startswith("not valid YAML: line 2: ")
