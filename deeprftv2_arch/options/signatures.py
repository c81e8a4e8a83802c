"""Checks of keys and values against signatures and type annotations, for people who write option files."""

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.options.bounds import AtLeast, Below

PLAIN_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
}


def check_arguments(
    values: Any,
    target: Callable[..., Any],
    where: str,
    supplied: Collection[str] = (),
    open_ended: bool | None = None,
) -> None:
    """Check keys and values against the signature of the class or function that they are passed to.

    Args:
        values: The keys and values.
        target: The class or function.
        where: File and section, for the messages.
        supplied: Arguments that the program itself gives.
        open_ended: Whether further keys pass; by default where the signature has ``**kwargs``.

    Raises:
        OptionError: A key is unknown or missing, or a value is of a wrong type.
    """
    check_value(values, Mapping, where)
    signature = inspect.signature(target).parameters.values()
    named = {
        parameter.name: parameter
        for parameter in signature
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and parameter.name not in supplied
    }
    if open_ended is None:
        open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature)
    for key in values:
        if key not in named and not open_ended:
            raise OptionError(f"{where}: unknown key {key!r}{suggestion(str(key), named)}")
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in values:
            raise OptionError(f"{where}: {name}: missing")
    hints = _hints(target)
    for key, value in values.items():
        if key in named:
            check_value(value, hints.get(key, _hint_from_default(named[key].default)), f"{where}: {key}")


def check_value(value: Any, hint: Any, where: str) -> None:
    """Check a value of an option file against a type annotation; YAML's lists pass as tuples and sequences.

    Raises:
        OptionError: The value is of another type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        check_arguments(value, typing.cast(Callable[..., Any], hint), where)
    elif origin is Annotated:
        check_value(value, arguments[0], where)
        bounds = [bound for bound in arguments[1:] if isinstance(bound, AtLeast | Below)]
        _require(all(bound.admits(value) for bound in bounds), value, _describe(hint), where)
    elif origin in (Union, types.UnionType):
        _check_union(value, arguments, where)
    elif origin is Literal:
        _require(value in arguments, value, _describe(hint), where)
    elif origin is tuple and Ellipsis not in arguments:
        _require(_is_list(value) and len(value) == len(arguments), value, f"a list of {len(arguments)}", where)
        for position, (item, item_hint) in enumerate(zip(value, arguments, strict=True), 1):
            check_value(item, item_hint, f"{where}: item {position}")
    elif inspect.isclass(origin) and issubclass(origin, Sequence):
        _require(_is_list(value), value, "a list", where)
        for position, item in enumerate(value, 1):
            check_value(item, arguments[0], f"{where}: item {position}")
    elif inspect.isclass(origin or hint) and issubclass(origin or hint, Mapping):
        _require(isinstance(value, Mapping), value, "keys with values", where)
        for key, item in value.items() if arguments else ():
            check_value(item, arguments[1], f"{where}: {key}")
    elif hint is float:
        _require(isinstance(value, int | float) and not isinstance(value, bool), value, _describe(hint), where)
    elif hint is int:
        _require(isinstance(value, int) and not isinstance(value, bool), value, _describe(hint), where)
    elif hint is not Any and inspect.isclass(hint):
        _require(isinstance(value, hint), value, _describe(hint), where)


def suggestion(name: str, known: Collection[str]) -> str:
    """What to say behind a name that is not known: one that is like it, or all that are."""
    close = get_close_matches(name, [str(key) for key in known], n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(str(key) for key in known))}" if known else ""


def _check_union(value: Any, members: Sequence[Any], where: str) -> None:
    rest = [member for member in members if member is not type(None)]
    if value is None and len(rest) < len(members):
        return
    if len(rest) == 1:
        check_value(value, rest[0], where)
        return
    for member in rest:
        try:
            check_value(value, member, where)
        except OptionError:
            continue
        return
    _require(False, value, " or ".join(map(_describe, members)), where)


def _describe(hint: Any) -> str:
    """What a user reads for a type."""
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) is Annotated:
        plain, *bounds = typing.get_args(hint)
        limits = " and ".join(str(bound) for bound in bounds if isinstance(bound, AtLeast | Below))
        return f"{_describe(plain)} {limits}".rstrip()
    return PLAIN_NAMES.get(hint, getattr(hint, "__name__", str(hint)))


def _require(holds: bool, value: Any, expected: str, where: str) -> None:
    if holds:
        return
    advice = ""
    if isinstance(value, str) and "number" in expected:
        try:
            float(value)
        except ValueError:
            pass
        else:
            advice = " (without quotes, and with a point before the e: YAML reads 1e-3 as text, 1.0e-3 as a number)"
    raise OptionError(f"{where}: expected {expected}, not {value!r}{advice}")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Annotations of a class's constructor or of a function; none where they name things that are not there."""
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except (NameError, TypeError):
        return {}


def _hint_from_default(default: Any) -> Any:
    """What an argument without annotation most likely takes: BasicSR's losses have defaults and no annotations."""
    if isinstance(default, bool):
        return bool
    if isinstance(default, int | float):
        return float
    return str if isinstance(default, str) else Any
