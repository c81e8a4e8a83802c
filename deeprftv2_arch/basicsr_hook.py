"""Registration in BasicSR's registries as soon as BasicSR is there, in whatever order the two are imported."""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from deeprftv2_arch.errors import MissingBasicsrError

BASICSR = "basicsr"
MISSING = "BasicSR, which trains and measures, is not installed; `python -m deeprftv2_arch install-basicsr` does it"


def register_with_basicsr() -> None:
    """Register everything now if BasicSR is imported already, else as the last act of its import."""
    if sys.modules.get(BASICSR) is not None:  # None hides a package on purpose
        _register_all()
    elif not any(isinstance(finder, _BasicsrFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BasicsrFinder())


def _register_all() -> None:
    # It registers at its end. Where it is itself what imports BasicSR, it is half loaded here, and goes on afterwards.
    import deeprftv2_arch.registration  # noqa: F401


class _BasicsrFinder(MetaPathFinder):
    """Finds BasicSR as the other finders do, and lets its loader register this package behind it."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return BasicSR's specification with a loader that registers, and None for any other name.

        Raises:
            MissingBasicsrError: BasicSR is asked for and is nowhere.
        """
        if name != BASICSR:
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, self)  # a first import may fail and be tried again
        if spec is None:
            raise MissingBasicsrError(MISSING, name=BASICSR)
        if spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader)
        return spec


class _RegisteringLoader(Loader):
    """Loads BasicSR by its own loader, hands it back to that, and registers this package."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module as its own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, then register."""
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        _register_all()
