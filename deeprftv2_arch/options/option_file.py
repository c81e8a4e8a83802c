"""Reading an option file, which may come from anybody: it holds values and names a plugin, and runs nothing."""

import math
import os
import site
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from deeprftv2_arch.errors import LONGEST_VALUE, OptionError, shortened, shown

Content = dict[str, Any]

PLUGIN = "plugin"  # the key that names modules to import
LONGEST = 2**20  # characters of a file
MOST_NODES = 100_000  # values that a file holds when its aliases are unfolded
DEEPEST = 50  # lists and sections in each other
TOO_DEEP = f"has more than {DEEPEST} lists or sections in each other"

_STANDARD_TAG = "tag:yaml.org,2002:"
_NAME_TAG = f"{_STANDARD_TAG}python/name:"
_SCALAR_TAGS = frozenset(
    _STANDARD_TAG + name for name in ("null", "bool", "int", "float", "str", "timestamp", "binary")
)
_PLAIN_TAGS = _SCALAR_TAGS | frozenset(
    _STANDARD_TAG + name for name in ("value", "seq", "map", "set", "omap", "pairs", "merge")
)


def read_option_file(path: Path) -> Content:
    """Read an option file.

    Of Python's tags only ``!!python/name:`` is accepted, and only below the key ``plugin``: it imports a module that
    is installed, or that lies in a folder of ``PYTHONPATH``. Nothing else of the file is executed.

    Raises:
        OptionError: The file is missing, no YAML, holds something else than keys with values, names a key twice or
            nothing that may be read, or unfolds to more than an option file should hold.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise OptionError(f"is longer than {LONGEST:,} characters, which no option file is")
        content = _parse(text, path.parent)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise OptionError(f"{path}: cannot read the option file: {reason}; check the path") from error
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error.__cause__
    if not isinstance(content, Mapping):
        raise OptionError(f"{path}: not an option file: expected keys with values, such as 'name: ...'")
    return dict(content)


def change_options(content: Content, changes: Iterable[str]) -> None:
    """Apply changes of the form ``section:key=value``, values being YAML.

    Raises:
        OptionError: A change has another form or names a section that is not there.
    """
    for change in changes:
        keys, equals, value = change.partition("=")
        *sections, last = (key.strip() for key in keys.split(":"))
        target: Any = content
        for section in sections:
            target = target.get(section) if isinstance(target, Mapping) else None
        said = f"--force_yml {shortened(change, LONGEST_VALUE)}"
        if not equals or not isinstance(target, dict):
            raise OptionError(f"{said}: expected section:key=value, with a section of the option file")
        try:
            target[last] = _parse(value, None)
        except OptionError as error:
            raise OptionError(f"{said}: the value is {error}") from error


def _parse(text: str, folder: Path | None) -> Any:
    """Parse a text: of an option file, which may name plugins, in a folder, or of a single value."""
    loader: _Loader | None = None
    try:
        loader = _Loader(text, folder)
        root = loader.get_single_node()
        if root is None:
            return None
        _check_tags(root, takes_plugins=folder is not None)
        return loader.construct_document(root)
    except OptionError:
        raise
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise OptionError(f"not valid YAML: {line}{shortened(error.problem or str(error))}") from error
    except yaml.YAMLError as error:
        raise OptionError(f"not valid YAML: {shortened(str(error))}") from error
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also bounds what aliases unfold to, and depth, and refuses keys that stand twice."""

    def __init__(self, text: str, folder: Path | None) -> None:
        super().__init__(text)
        self.folder = folder
        self.nodes = 0
        self.level = 0  # of the node that is being composed
        # Of a node by its id: all nodes from it on downwards, and the levels that they take, aliases unfolded.
        self.sizes: dict[int, int] = {}
        self.heights: dict[int, int] = {}

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Compose a node, unless the document has become too large or too deep with it."""
        before, is_alias = self.nodes, self.check_event(yaml.AliasEvent)
        self.level += 1
        if self.level > DEEPEST:
            raise OptionError(TOO_DEEP)
        node = super().compose_node(parent, index)
        self.level -= 1
        if is_alias:
            if id(node) not in self.sizes:
                raise OptionError("not valid YAML: a value contains itself by an alias")
            self.nodes += self.sizes[id(node)]
        else:
            self.nodes += 1
            self.sizes[id(node)] = self.nodes - before
            self.heights[id(node)] = 1 + max((self.heights[id(part)] for part in _parts(node)), default=0)
        if self.nodes > MOST_NODES:
            raise OptionError(f"unfolds to more than {MOST_NODES:,} values; an option file needs no such aliases")
        if self.heights[id(node)] > DEEPEST:
            raise OptionError(TOO_DEEP)
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        """Compose a mapping, each of whose keys stands in it once."""
        node: MappingNode = super().compose_mapping_node(anchor)
        seen: dict[Hashable, ScalarNode] = {}
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.tag != f"{_STANDARD_TAG}merge":
                name = self.construct_object(key) if key.tag in _SCALAR_TAGS else (key.tag, key.value)
                first = seen.setdefault(name, key)
                if first is not key:
                    raise OptionError(_said_twice(first, key))
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """Construct a value, and say in which line it is none: PyYAML's own constructors expect well-formed texts."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{shown(node.value)} is not a finite number")
            if isinstance(value, str) and "\0" in value:
                raise ValueError(f"{shown(value)} has a character that no name has, \\0")
        except OptionError:
            raise
        except (LookupError, AttributeError, ValueError, OverflowError) as error:
            tag = node.tag.removeprefix(_STANDARD_TAG)
            reason = str(error) if isinstance(error, ValueError) else f"{shown(node.value)} is not of the type {tag}"
            raise OptionError(f"not valid YAML: line {node.start_mark.line + 1}: {shortened(reason)}") from error
        return value


def _parts(node: Node | None) -> Iterator[Node]:
    for part in node.value if isinstance(node, MappingNode | SequenceNode) else ():
        yield from part if isinstance(part, tuple) else [part]


def _said_twice(first: ScalarNode, second: ScalarNode) -> str:
    also = "" if first.value == second.value else f", also written {shown(first.value)},"
    begin, end = first.start_mark, second.start_mark
    if begin.line == end.line:
        places = f"line {begin.line + 1}, columns {begin.column + 1} and {end.column + 1}"
    else:
        places = f"lines {begin.line + 1} and {end.line + 1}"
    return f"the key {shown(second.value)}{also} stands twice in one section, in {places}; remove one"


def _check_tags(root: Node, takes_plugins: bool) -> None:
    """Refuse every node that is to become more than a plain value, but for plugins where they belong."""
    waiting: list[tuple[Node, bool]] = [(root, False)]  # nodes, and whether they may be plugins
    seen = set()
    while waiting:
        node, may_be_plugin = waiting.pop()
        if not (node.tag in _PLAIN_TAGS or (may_be_plugin and node.tag.startswith(_NAME_TAG))):
            tag = shortened(node.tag.replace(_STANDARD_TAG, "!!", 1), LONGEST_VALUE)
            raise OptionError(
                f"line {node.start_mark.line + 1}: {tag} is refused and nothing was run; an option file holds plain "
                f"values and, under {PLUGIN}, names of modules, such as !!python/name:deeprftv2_arch.__version__"
            )
        if may_be_plugin:
            _check_plugin(node)
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            for key, value in node.value:
                is_plugin = takes_plugins and node is root and isinstance(key, ScalarNode) and key.value == PLUGIN
                is_list = is_plugin and value.tag == f"{_STANDARD_TAG}seq" and isinstance(value, SequenceNode)
                items = value.value if is_list else [value]
                waiting += [(key, False), *((item, is_plugin) for item in items)]
        elif isinstance(node, SequenceNode):
            waiting += [(item, False) for item in node.value]


def _check_plugin(node: Node) -> None:
    """Refuse what is no name or more than one, and programs, which run when they are imported."""
    if node.tag == f"{_STANDARD_TAG}null":
        return
    name = node.tag.removeprefix(_NAME_TAG)
    if name == node.tag:
        raise OptionError(
            f"line {node.start_mark.line + 1}: {PLUGIN}: expected the name of a module, such as "
            "!!python/name:deeprftv2_arch.__version__, or a list of them"
        )
    if not name or node.value or "__main__" in name.split("."):
        raise OptionError(
            f"line {node.start_mark.line + 1}: {PLUGIN}: {shortened(name, LONGEST_VALUE) or 'nothing'}"
            f"{' with a value' if node.value else ''} is refused and nothing was run; expected the name of a module, "
            "such as !!python/name:deeprftv2_arch.__version__"
        )


def _import_plugin(loader: _Loader, name: str, node: Node) -> str:
    """Import the module of ``!!python/name:<module>.<name in it>``, and return the name."""
    said = f"line {node.start_mark.line + 1}: {PLUGIN}: cannot import {shortened(name, LONGEST_VALUE)}"
    module, _, attribute = name.rpartition(".")
    try:
        with _only_installed(loader.folder or Path()):
            if attribute not in vars(import_module(module or name)) and module:
                import_module(name)  # a module within a package
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a module of somebody's raises while it is imported, SystemExit too
        reason = shortened(f"{type(error).__name__}: {error}")
        raise OptionError(
            f"{said} ({reason}); pip install it, name its folder in PYTHONPATH, or correct the name"
        ) from error
    return name


@contextmanager
def _only_installed(folder: Path) -> Iterator[None]:
    """Import nothing that merely lies in the working folder, as ``python -m`` does, or beside the option file."""
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    left_out = {Path().resolve(), folder.resolve()} - {Path(entry).resolve() for entry in [*named, *_installations()]}
    before = list(sys.path)
    sys.path[:] = [entry for entry in before if Path(entry).resolve() not in left_out]
    try:
        yield
    finally:
        sys.path[:] = [*(entry for entry in sys.path if entry not in before), *before]


def _installations() -> Iterator[str]:
    """Yield the folders of installed distributions, and those that editable ones name in files ``*.pth``."""
    for packages in (*site.getsitepackages(), site.getusersitepackages()):
        yield packages
        for file in Path(packages).glob("*.pth"):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            yield from (str(Path(packages, line)) for line in lines if line and not line.startswith(("#", "import")))


_Loader.add_multi_constructor(_NAME_TAG, _import_plugin)
