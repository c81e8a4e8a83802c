"""Values of option files against types: pydantic checks them, and this module says in plain words what it found.

Two things are checked so: the sections of :mod:`~deeprftv2_arch.options.sections`, and the arguments of whatever class
or function an option file names, whose signature becomes a type.
"""

import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, Union

import typing_extensions
from annotated_types import Ge, Lt
from pydantic import BaseModel, ConfigDict, Strict, TypeAdapter, ValidationError
from typing_extensions import NotRequired, Required

from deeprftv2_arch.errors import LONGEST_VALUE, OptionError, OptionFileError, shortened, shown

Section = TypeVar("Section", bound=BaseModel)

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
}
_WITH_BOUNDS = ("greater_than_equal", "less_than")
_PRESENCE: tuple[Any, ...] = (Required, NotRequired)
_UNKNOWN_KEY = ("extra_forbidden", "invalid_key", "unexpected_keyword_argument")


def section_faults(section: type[BaseModel], values: object, where: str) -> list[str]:
    """Return a line for everything in which values are no such section.

    Args:
        section: What is expected.
        values: What the option file has.
        where: File and section, for the lines.
    """
    return _faults(TypeAdapter(section), section, values, where)


def type_faults(value: object, hint: Any, where: str) -> list[str]:
    """Return a line for everything in which a value is not of a type; YAML's lists pass as tuples and sequences."""
    checked = _checked(hint)
    return _faults(TypeAdapter(checked), checked, value, where)


def argument_faults(
    values: object,
    target: Callable[..., Any],
    where: str,
    supplied: Collection[str] = (),
    open_ended: bool | None = None,
) -> list[str]:
    """Return a line for every key and value that the signature of a class or function does not take.

    Args:
        values: Keys and values that are to be passed to it.
        target: The class or function.
        where: File and section, for the lines.
        supplied: Arguments that the program itself gives.
        open_ended: Whether further keys pass; by default where the signature has ``**kwargs``.
    """
    arguments = arguments_of(target, supplied, open_ended)
    return _faults(TypeAdapter(arguments), arguments, values, where)


def raise_faults(faults: Sequence[str]) -> None:
    """Raise all faults as one error, if there are any.

    Raises:
        OptionError: There is at least one fault.
    """
    if len(faults) > 1:
        raise OptionFileError(faults)
    if faults:
        raise OptionError(faults[0])


def read_options(section: type[Section], opt: Mapping[str, Any]) -> Section:
    """Return what a model reads of the dictionary that BasicSR gives it.

    Keys that nobody knows, as BasicSR adds them and other models have them, are left out of the dictionary and of its
    sections.

    Raises:
        OptionError: A value is missing or of another type.
    """
    known = {name: _known_part(hint, opt[name]) for name, hint in _keys(section).items() if opt.get(name) is not None}
    raise_faults([fault.removeprefix(": ") for fault in section_faults(section, known, "")])
    return section.model_validate(known)


def below(where: str, key: object) -> str:
    """Return how messages name the place of a key, for the place of its section."""
    return f"{where}: {shortened(key if isinstance(key, str) else shown(key), LONGEST_VALUE)}"


def suggestion(name: str, known: Collection[str]) -> str:
    """Return what to say behind a name that is not known: one that is like it, or all that are."""
    close = get_close_matches(name, [str(key) for key in known], n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(str(key) for key in known))}" if known else ""


def arguments_of(target: Callable[..., Any], supplied: Collection[str] = (), open_ended: bool | None = None) -> Any:
    """Return the keyword arguments of a class or function as a typed dictionary; see :func:`argument_faults`."""
    parameters = inspect.signature(target).parameters.values()
    if open_ended is None:
        open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    hints = _hints(target)
    fields = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.name in supplied:
            continue
        hint = _checked(hints.get(parameter.name, _likely_hint(parameter.default)))
        is_required = parameter.default is parameter.empty
        fields[parameter.name] = Required[hint] if is_required else NotRequired[hint]
    make_type: Any = typing_extensions.TypedDict  # of fields that are found here, which type checkers do not follow
    arguments = make_type(target.__name__, fields)
    arguments.__pydantic_config__ = ConfigDict(
        extra="allow" if open_ended else "forbid", arbitrary_types_allowed=True, protected_namespaces=()
    )
    return arguments


def _faults(adapter: TypeAdapter[Any], hint: Any, values: object, where: str) -> list[str]:
    try:
        adapter.validate_python(values)
    except ValidationError as error:
        found = (
            # What a class itself refuses it says in its own words.
            f"{_place(where, fault['loc'])}: {fault['ctx']['error']}"
            if fault["type"] == "value_error"
            else _line(fault["type"], fault["loc"], hint, values, where)
            for fault in error.errors(include_url=False)
        )
        return list(dict.fromkeys(found))  # every member of a union has a fault of its own
    return []


def _line(kind: str, place: tuple[int | str, ...], hint: Any, value: Any, where: str) -> str:
    """Say in one line what pydantic found at a place within a value of a type."""
    if kind == "missing" and isinstance(place[-1], int):  # of a list that is too short
        place = place[:-1]
    elif kind == "missing":
        *place_of_section, name = place
        return f"{_place(where, place_of_section)}: {name}: missing"
    elif place and place[-1] == "[key]":
        *place_of_section, name, _ = place
        return f"{_place(where, place_of_section)}: expected text as a key, not {shown(name)}"
    elif kind in _UNKNOWN_KEY:
        *place_of_section, name = place
        *_, (_, section, _) = _steps(hint, value, place_of_section)
        text = name if isinstance(name, str) else shown(name)
        return f"{_place(where, place_of_section)}: unknown key {shown(name)}{suggestion(text, _keys(section))}"
    *_, (reached, hint, value) = _steps(hint, value, place)
    expected = _described(hint, with_bounds=kind in _WITH_BOUNDS)
    return f"{_place(where, place[:reached])}: expected {expected}, not {shown(value)}{_advice(value, expected)}"


def _steps(hint: Any, value: Any, place: Sequence[int | str]) -> Iterator[tuple[int, Any, Any]]:
    """Walk into a value: yield how many steps were made, the type there and the value, until the type is a choice."""
    hint = _without_null(hint)
    yield 0, hint, value
    for number, step in enumerate(place, 1):
        plain = _without_bounds(hint)
        if _is_union(plain):
            return
        hint = _without_null(_keys(plain)[str(step)] if _is_section(plain) else _item_hint(plain, step))
        value = value[step]
        yield number, hint, value


def _item_hint(hint: Any, step: int | str) -> Any:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and Ellipsis not in arguments:
        return arguments[int(step)]
    return arguments[1] if len(arguments) > 1 and Ellipsis not in arguments else arguments[0]


def _place(where: str, place: Sequence[int | str]) -> str:
    for step in place:
        where = below(where, f"item {step + 1}" if isinstance(step, int) else step)
    return where


def _is_section(hint: Any) -> bool:
    return (
        (inspect.isclass(hint) and (issubclass(hint, BaseModel) or is_dataclass(hint)))
        or typing_extensions.is_typeddict(hint)
    )  # fmt: skip


def _keys(section: Any) -> dict[str, Any]:
    """Return the types of a section's keys."""
    if typing_extensions.is_typeddict(section):
        return {
            name: typing.get_args(hint)[0] if typing.get_origin(hint) in _PRESENCE else hint
            for name, hint in typing_extensions.get_type_hints(section, include_extras=True).items()
        }
    if is_dataclass(section):
        return typing_extensions.get_type_hints(section)
    return {
        name: _annotated(field.annotation, field.metadata) if field.metadata else field.annotation
        for name, field in section.model_fields.items()
    }


def _annotated(hint: Any, metadata: Sequence[Any]) -> Any:
    make_type: Any = Annotated
    parts = (hint, *metadata)
    return make_type[parts]


def _known_part(hint: Any, values: Any) -> Any:
    section = _without_null(hint)
    if not (_is_section(section) and isinstance(values, Mapping)):
        return values
    return {name: values[name] for name in _keys(section) if name in values}


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)


def _without_null(hint: Any) -> Any:
    """Return the type of a value that is there, for one that may be null."""
    members = [member for member in typing.get_args(hint) if member is not type(None)]
    return members[0] if _is_union(hint) and len(members) == 1 else hint


def _without_bounds(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _described(hint: Any, with_bounds: bool = True) -> str:
    """Return what a user reads for a type."""
    plain = _without_bounds(hint)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if plain is not hint and with_bounds:
        limits = [f"from {bound.ge} on" for bound in typing.get_args(hint) if isinstance(bound, Ge)]
        limits += [f"below {bound.lt}" for bound in typing.get_args(hint) if isinstance(bound, Lt)]
        return f"{_described(plain)} {' and '.join(limits)}".rstrip()
    if _is_union(plain):
        return " or ".join(map(_described, arguments))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)}"
    container = origin or plain
    if _is_section(plain) or (inspect.isclass(container) and issubclass(container, Mapping)):
        return "keys with values"
    if inspect.isclass(container) and issubclass(container, Sequence) and plain is not str:
        return "a list"
    return _WORDS.get(plain, getattr(plain, "__name__", str(plain)))


def _advice(value: object, expected: str) -> str:
    """Return what to say behind a number that YAML reads as text, or as a fraction where a whole one is expected."""
    if expected.startswith("a whole number") and isinstance(value, str | float):
        try:
            number = float(value)
        except ValueError:
            return ""
        quotes = ", without quotes" if isinstance(value, str) else ""
        return f" (write {shown(int(number))}{quotes})" if number.is_integer() else ""
    if isinstance(value, str) and "number" in expected:
        try:
            float(value)
        except ValueError:
            return ""
        return " (without quotes, and with a point before the e: YAML reads 1e-3 as text, 1.0e-3 as a number)"
    return ""


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a class's constructor or of a function; none where they name what is not there."""
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except (NameError, TypeError):
        return {}


def _likely_hint(default: object) -> Any:
    """Return what an argument without annotation likely takes: BasicSR's losses have defaults and no annotations."""
    if isinstance(default, bool):
        return bool
    if isinstance(default, int | float):
        return float
    return str if isinstance(default, str) else Any


def _checked(hint: Any) -> Any:
    """Return the type to check for an annotation: nothing is converted, but YAML's lists pass as tuples and sequences.

    What option files cannot hold, such as functions, is not checked.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (bool, int, float, str):
        return Annotated[hint, Strict()]
    if is_dataclass(hint):
        return arguments_of(typing.cast(Callable[..., Any], hint))
    if origin is Annotated:
        return _annotated(_checked(arguments[0]), arguments[1:])
    if _is_union(hint):
        return Union[tuple(map(_checked, arguments))]  # noqa: UP007  (of members that are found here)
    if origin is Literal or hint is type(None) or _is_section(hint):
        return hint
    container = origin or hint
    if not inspect.isclass(container):
        return Any
    items = [item if item is Ellipsis else _checked(item) for item in arguments] or [Any]
    if container is tuple:
        return tuple[tuple(items) if arguments else (Any, ...)]  # type: ignore[misc]
    if issubclass(container, Mapping):
        return Mapping[Any, items[-1]]  # type: ignore[valid-type]
    if issubclass(container, Sequence):
        return Sequence[items[0]]  # type: ignore[valid-type]
    return Any if origin is not None else hint
