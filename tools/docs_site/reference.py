"""Reference pages made from the code: what every command and every option file takes."""

import argparse
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import datasets_prep.command_line
from deeprftv2_arch import recipes
from deeprftv2_arch.commands.main import build_parser

Schema = Mapping[str, Any]

_WIDTH = "100"  # columns of a help
_REFERENCE = "#/$defs/"
_ATTRIBUTES = re.compile(r"^Attributes:\n((?:    .*\n?|\n)+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^    (\w+): ((?:.*\n?)(?:^        .*\n?)*)", re.MULTILINE)


def commands_page() -> str:
    """Return the help of ``deeprftv2`` and of all its commands."""
    return "\n".join(
        [
            "# Commands",
            "`deeprftv2 COMMAND` and `python -m deeprftv2_arch COMMAND` are the same. Under torchrun and Slurm use the",
            "second, or `python -m deeprftv2_arch.train` and `.test`. Data sets are prepared by",
            "[`python -m datasets_prep`](datasets_prep.md).\n",
            *_helps(build_parser()),
        ]
    )


def preparation_page() -> str:
    """Return the help of ``python -m datasets_prep`` and of all its data sets."""
    return "\n".join(["# Preparing data sets\n", *_helps(datasets_prep.command_line.build_parser())])


def recipes_page() -> str:
    """Return the table of the option files that come with the package."""
    rows = [f"| `{name}` | {recipes.title(name)} |" for name in recipes.names()]
    return "\n".join(
        [
            "# The option files\n",
            "`deeprftv2 options copy NAME` writes one as a new file to change; a checkout has all in `options/`.",
            "What their keys mean: [Options](options.md).\n",
            "| name | what for |",
            "|---|---|",
            *rows,
        ]
    )


def options_page(schema: Schema) -> str:
    """Return every key of option files, with type, default and meaning.

    Args:
        schema: The JSON schema of option files, ``options/schema.json``.
    """
    definitions: Mapping[str, Schema] = schema["$defs"]
    registered = {"Network": "Networks", "Loss": "Losses", "Metric": "Metrics"}
    lines = [
        "# Options",
        "Made from the models by which option files are checked, and from the signatures and docstrings of networks,",
        "losses and metrics. A key without a default must be in the file. An evaluation takes a file for testing.\n",
        "| `model_type` | with a section `train` | without |",
        "|---|---|---|",
        *(_model_type(case) for case in schema["allOf"]),
        "",
    ]
    for title, chosen in _chapters(definitions).items():
        lines.append(f"## {title}\n")
        for name in chosen:
            lines += _section(name, definitions[name])
    for kind, title in registered.items():
        lines.append(f"## {title} {{#{kind}}}\n")
        for case in definitions[kind]["allOf"]:
            name = case["if"]["properties"]["type"]["const"]
            arguments = case["then"]["properties"]
            required = [key for key, value in arguments.items() if "default" not in value]
            lines += _table(f"type: {name}", f"type-{name}", arguments, required, {})
    return "\n".join(lines)


def _helps(parser: argparse.ArgumentParser, level: int = 2) -> Iterator[str]:
    """Yield the help of a parser and of the commands below it, under headings."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        text = parser.format_help()
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    yield f"```text\n{text.rstrip()}\n```\n"
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"{'#' * level} {name}\n"
                yield from _helps(command, level + 1)


def _chapters(definitions: Mapping[str, Schema]) -> dict[str, list[str]]:
    """Sort sections by what they are for."""
    chapters: dict[str, list[str]] = {"Whole files": [], "Data sets": [], "Sections": []}
    for name, section in definitions.items():
        if "allOf" in section:
            continue
        if name.endswith("Options"):
            chapters["Whole files"].append(name)
        elif re.search("Pairs|Photographs|Kernels|Data|Blur|Curriculum|Simulator|PatchStage|IoBackend", name):
            chapters["Data sets"].append(name)
        else:
            chapters["Sections"].append(name)
    return chapters


def _model_type(case: Schema) -> str:
    name = case["if"]["properties"]["model_type"].get("const")
    then = case["then"]
    label = f"`{name}`" if name else "any other, of BasicSR or of yours"
    return f"| {label} | {_type(then['then'])} | {_type(then['else'])} |"


def _section(name: str, section: Schema) -> list[str]:
    text = section.get("description", "")
    found = _ATTRIBUTES.search(text)
    attributes = {key: " ".join(words.split()) for key, words in _ATTRIBUTE.findall(found[1])} if found else {}
    introduction = _prose(text.partition("\n\n")[0])
    return _table(name, name, section.get("properties", {}), section.get("required", ()), attributes, introduction)


def _table(
    title: str,
    anchor: str,
    properties: Schema,
    required: Collection[str],
    described: Mapping[str, str],
    introduction: str = "",
) -> list[str]:
    """Return a heading and a table of keys.

    Args:
        title: The heading.
        anchor: Where links to it lead.
        properties: The schemas of the keys.
        required: The keys that must be there.
        described: What keys mean whose schema does not say it.
        introduction: The text between heading and table.
    """
    rows = []
    for key, schema in properties.items():
        default = "**required**" if key in required else f"`{_value(schema['default'])}`" if "default" in schema else ""
        meaning = _prose(schema.get("description") or described.get(key, ""))
        rows.append(f"| `{key}` | {_type(schema)} | {default} | {meaning} |")
    lines = [f"### {title} {{#{anchor}}}\n", f"{introduction}\n" if introduction else ""]
    if rows:
        lines += ["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    return lines


def _prose(text: str) -> str:
    """Return a docstring's text as Markdown in a cell of a table."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|").replace("<", "&lt;")


def _value(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _type(schema: Schema) -> str:
    """Say what a value may be."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        return f"[{name}](#{name})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[several]))
    if "const" in schema:
        return f"`{_value(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{_value(value)}`" for value in schema["enum"])
    if "patternProperties" in schema:
        inner = [*schema.get("properties", {}).values(), *schema["patternProperties"].values()]
        return " or ".join(dict.fromkeys(_type(one) for one in inner))
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(_type(item) for item in schema['prefixItems'])}]"
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"by name: {_type(schema['additionalProperties'])}"
    words = {"object": "mapping", "integer": "whole number", "string": "text", "boolean": "true or false"}
    return words.get(kind, kind) + _bounds(schema)


def _bounds(schema: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema]
    return f" {', '.join(found)}".replace("<", "&lt;") if found else ""
