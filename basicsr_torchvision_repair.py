"""Makes the released basicsr importable on torchvision 0.17 and later.

basicsr 1.4.2 imports ``rgb_to_grayscale`` from ``torchvision.transforms.functional_tensor``, a module that torchvision
has dropped. Importing this module appends one finder to the very end of ``sys.meta_path``. It is asked only when every
other finder has failed, that is, only where that module is really missing, and then serves the function from
``torchvision.transforms.functional``. Nothing of torchvision or torch is loaded before somebody asks for it.

Since it runs at every start, this module itself imports nothing but ``sys``; it takes less than a millisecond.

Installing this project also installs ``deeprftv2_arch_torchvision_repair.pth``, which imports this module whenever the
interpreter starts. So an unmodified ``basicsr/train.py``, which imports basicsr before it reads the option file that
names this plugin, works as well.
"""

import sys

TYPE_CHECKING = False  # type checkers take it for true; `typing` itself would cost more than all the rest
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

MISSING_MODULE = "torchvision.transforms.functional_tensor"


class FunctionalTensorFinder:
    """Finder and loader of the one missing module."""

    def find_spec(self, name: str, path: object = None, target: "ModuleType | None" = None) -> "ModuleSpec | None":
        """Return the specification of the missing module, and None for any other name."""
        if name != MISSING_MODULE:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: "ModuleSpec") -> None:
        """Leave the making of the module object to the import system."""

    def exec_module(self, module: "ModuleType") -> None:
        """Fill the module with what basicsr wants from it."""
        from torchvision.transforms import functional

        vars(module)["rgb_to_grayscale"] = functional.rgb_to_grayscale


if not any(type(finder).__name__ == FunctionalTensorFinder.__name__ for finder in sys.meta_path):
    sys.meta_path.append(FunctionalTensorFinder())
