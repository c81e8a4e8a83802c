"""Reading an option file, which may come from anybody: it holds values and names a plugin, and runs nothing."""

from collections.abc import Hashable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from deeprftv2_arch.errors import LONGEST_VALUE, OptionError, shortened, shown

Content = dict[str, Any]

PLUGIN = "plugin"  # the key that names modules to import
MOST_NODES = 100_000  # values that a file holds when its aliases are unfolded

_STANDARD_TAG = "tag:yaml.org,2002:"
_NAME_TAG = f"{_STANDARD_TAG}python/name:"
_PLAIN_TAGS = frozenset(
    _STANDARD_TAG + name
    for name in (
        *("null", "bool", "int", "float", "str", "timestamp", "binary", "value"),
        *("seq", "map", "set", "omap", "pairs", "merge"),
    )
)


def read_option_file(path: Path) -> Content:
    """Read an option file.

    Of Python's tags only ``!!python/name:`` is accepted, and only below the key ``plugin``: it imports a module that
    is installed. Nothing else of the file is executed.

    Raises:
        OptionError: The file is missing, no YAML, holds something else than keys with values, names a key twice or
            nothing that may be read, or unfolds to more than an option file should hold.
    """
    try:
        content = _parse(path.read_text(encoding="utf-8"), takes_plugins=True)
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
            target[last] = _parse(value, takes_plugins=False)
        except OptionError as error:
            raise OptionError(f"{said}: the value is {error}") from error


def _parse(text: str, takes_plugins: bool) -> Any:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _check_tags(root, takes_plugins)
        return loader.construct_document(root)
    except OptionError:
        raise
    except RecursionError as error:
        raise OptionError("not valid YAML: it is nested too deep") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise OptionError(f"not valid YAML: {line}{shortened(error.problem or str(error))}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two of dates and numbers that are none
        raise OptionError(f"not valid YAML: {shortened(str(error))}") from error
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also counts what aliases unfold to and refuses a key that stands twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = 0
        self.sizes: dict[int, int] = {}  # by the id of a node: it and all below it, aliases unfolded

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Compose a node, unless the document has become too large with it."""
        before, is_alias = self.nodes, self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if is_alias:
            if id(node) not in self.sizes:
                raise OptionError("not valid YAML: a value contains itself by an alias")
            self.nodes += self.sizes[id(node)]
        else:
            self.nodes += 1
            self.sizes[id(node)] = self.nodes - before
        if self.nodes > MOST_NODES:
            raise OptionError(f"unfolds to more than {MOST_NODES:,} values; an option file needs no such aliases")
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        """Compose a mapping, each of whose keys stands in it once."""
        node: MappingNode = super().compose_mapping_node(anchor)
        lines: dict[Hashable, int] = {}
        for key, _ in node.value:
            if isinstance(key, ScalarNode):
                line, name = key.start_mark.line + 1, (key.tag, key.value)
                if name in lines:
                    raise OptionError(
                        f"the key {shown(key.value)} stands twice in one section, in lines {lines[name]} and {line}; "
                        "remove one"
                    )
                lines[name] = line
        return node


def _check_tags(root: Node, takes_plugins: bool) -> None:
    """Refuse every node that is to become more than a plain value, but for plugins where they belong."""
    waiting: list[tuple[Node, bool]] = [(root, False)]
    seen = set()
    while waiting:
        node, may_be_plugin = waiting.pop()
        if not (node.tag in _PLAIN_TAGS or (may_be_plugin and node.tag.startswith(_NAME_TAG))):
            tag = shortened(node.tag.replace(_STANDARD_TAG, "!!", 1), LONGEST_VALUE)
            raise OptionError(
                f"line {node.start_mark.line + 1}: {tag} is refused and nothing was run; an option file holds plain "
                f"values and, under {PLUGIN}, names of modules, such as !!python/name:deeprftv2_arch.__version__"
            )
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            for key, value in node.value:
                names_plugins = takes_plugins and node is root and isinstance(key, ScalarNode) and key.value == PLUGIN
                waiting += [(key, False), (value, names_plugins)]
        elif isinstance(node, SequenceNode):
            waiting += [(item, may_be_plugin) for item in node.value]


def _import_plugin(loader: _Loader, name: str, node: Node) -> str:
    """Import the module of ``!!python/name:<module>.<name in it>``.

    Returns:
        The text of that name, as of a version, else the name itself; other objects have no place among options.
    """
    module, _, attribute = name.rpartition(".")
    try:
        found = vars(import_module(module or name)).get(attribute)
        if module and found is None:
            import_module(name)  # a module within a package
    except Exception as error:  # whatever a module of somebody's raises while it is imported
        reason = shortened(f"{type(error).__name__}: {error}")
        raise OptionError(
            f"line {node.start_mark.line + 1}: {PLUGIN}: cannot import {shortened(name, LONGEST_VALUE)} ({reason}); "
            "install it, or correct the name"
        ) from error
    return found if isinstance(found, str) else name


_Loader.add_multi_constructor(_NAME_TAG, _import_plugin)
