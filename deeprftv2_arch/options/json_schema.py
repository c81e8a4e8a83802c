"""The JSON schema of option files, by which editors complete keys and show what they mean."""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

import deeprftv2_arch
from deeprftv2_arch.options.model_types import DATA_SET_TYPES, MODEL_TYPES, OTHER, ModelType
from deeprftv2_arch.options.sections import OtherDataSection, OtherTrainingDataSection, Section
from deeprftv2_arch.options.validation import arguments_of

Schema = dict[str, Any]

_REFERENCE = "#/$defs/"
_TITLE = "Option file of BasicSR with deeprftv2_arch"


def json_schema() -> Schema:
    """Return the schema of option files for training and testing, whatever their ``model_type``.

    What networks, losses and metrics of this project take is in it, with what their docstrings say of it; those of
    other projects may hold anything.
    """
    sections: list[type[Section]] = [
        model for known in (*MODEL_TYPES.values(), OTHER) for model in (known.training, known.testing)
    ]
    sections += [section for known in DATA_SET_TYPES.values() for section in (known.training, known.held_out)]
    sections += [OtherTrainingDataSection, OtherDataSection]
    _, found = models_json_schema([(section, "validation") for section in dict.fromkeys(sections)])
    definitions: dict[str, Schema] = found["$defs"]
    for known in (*MODEL_TYPES.values(), OTHER):
        for options, phases in ((known.training, ("train", "val")), (known.testing, ("test", "val"))):
            definitions[options.__name__]["properties"]["datasets"] |= _datasets(known, phases)
    definitions |= {
        "Network": _registered(ARCH_REGISTRY, ()),
        "Loss": _registered(LOSS_REGISTRY, ()),
        "Metric": _registered(METRIC_REGISTRY, ("img", "img2")),
    }
    definitions["Metric"]["properties"]["better"] = {
        "enum": ["higher", "lower"],
        "description": "Which values are better, for the best iteration of a training.",
    }
    _refer_to(definitions)
    cases = [_case({"const": name}, known) for name, known in MODEL_TYPES.items()]
    cases.append(_case({"not": {"enum": list(MODEL_TYPES)}}, OTHER))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": _TITLE,
        "type": "object",
        "required": ["model_type"],
        "properties": {"model_type": {"examples": list(MODEL_TYPES)}},
        "allOf": cases,
        "$defs": _plain(definitions),
    }


def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(json_schema(), indent=1) + "\n"


def _case(model_type: Schema, known: ModelType) -> Schema:
    """Return what holds for one ``model_type``; a file with the section ``train`` is for training."""
    return {
        "if": {"properties": {"model_type": model_type}, "required": ["model_type"]},
        "then": {
            "if": {"required": ["train"]},
            "then": _reference(known.training),
            "else": _reference(known.testing),
        },
    }


def _datasets(known: ModelType, phases: tuple[str, str]) -> Schema:
    """Return the schema of ``datasets``, by the data sets that a ``model_type`` takes."""
    types = [DATA_SET_TYPES[name] for name in known.data or DATA_SET_TYPES]
    training = [_reference(found.training) for found in types]
    held_out = [_reference(found.held_out) for found in types]
    if known.data is None:
        training.append(_reference(OtherTrainingDataSection))
        held_out.append(_reference(OtherDataSection))
    schema: Schema = {"additionalProperties": False, "properties": {}, "patternProperties": {}}
    for phase in phases:
        if phase == "train":
            schema["properties"]["train"] = _any_of(training)
        else:
            schema["patternProperties"][f"^{phase}(_.*)?$"] = _any_of(held_out)
    return schema


def _any_of(choices: list[Schema]) -> Schema:
    distinct = [choice for number, choice in enumerate(choices) if choice not in choices[:number]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def _registered(registry: Any, supplied: tuple[str, ...]) -> Schema:
    """Return the schema of a section with a ``type``, by the signatures of what this project has registered."""
    package = deeprftv2_arch.__name__
    own = {name: found for name, found in registry if found.__module__.partition(".")[0] == package}
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string", "examples": sorted(own)}},
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {"properties": _arguments(own[name], supplied)},
            }
            for name in sorted(own)
        ],
    }


def _arguments(target: Callable[..., Any], supplied: tuple[str, ...]) -> Schema:
    """Return the schemas of a class's or function's arguments, with their defaults and what its docstring says."""
    arguments = arguments_of(target, supplied, open_ended=False)
    found = TypeAdapter(arguments).json_schema()
    described = _described_arguments(inspect.getdoc(target) or "")
    defaults = {name: argument.default for name, argument in inspect.signature(target).parameters.items()}
    return {
        name: {key: value for key, value in schema.items() if key != "title"}
        | ({} if defaults[name] is inspect.Parameter.empty else {"default": defaults[name]})
        | ({"description": described[name]} if name in described else {})
        for name, schema in found.get("properties", {}).items()
    }


def _described_arguments(docstring: str) -> dict[str, str]:
    """Return what the section ``Args`` of a docstring says, by the names of the arguments."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
    items = re.findall(r"^    (\w+): ((?:.*\n?)(?:^        .*\n?)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.replace("``", "").split()) for name, text in items}


def _refer_to(definitions: dict[str, Schema]) -> None:
    """Put the schemas of networks, losses and metrics where the sections have such."""
    for schema in definitions.values():
        for name, value in schema.get("properties", {}).items():
            kind = {"metrics": "Metric"}.get(name, "Loss" if name.endswith("losses") else None)
            if name in ("network_g", "network_flow"):
                schema["properties"][name] = {"description": value["description"], **_reference_named("Network")}
            elif kind is not None:
                by_name: Schema = {"type": "object", "additionalProperties": _reference_named(kind)}
                choices = [by_name, {"type": "null"}] if "anyOf" in value else [by_name]
                schema["properties"][name] = {"description": value["description"], **_any_of(choices)}


def _reference(section: type[BaseModel]) -> Schema:
    return _reference_named(section.__name__)


def _reference_named(name: str) -> Schema:
    return {"$ref": f"{_REFERENCE}{name}"}


def _plain(schema: Any) -> Any:
    """Return a schema without the titles that pydantic makes of names, which editors would show for keys."""
    if isinstance(schema, Mapping):
        return {key: _plain(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema
