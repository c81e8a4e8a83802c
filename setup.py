"""Adds to the metadata in pyproject.toml the one thing that cannot be said there: a start-up hook in site-packages."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# The interpreter runs this line when it starts (what for: basicsr_torchvision_repair.py). A .pth line must begin with
# "import"; should the module ever be gone while this file is left, nothing happens.
HOOK_NAME = "deeprftv2_arch_torchvision_repair.pth"
HOOK = 'import sys; exec("try:\\n import basicsr_torchvision_repair\\nexcept ImportError:\\n pass")\n'


class BuildWithHook(build_py):
    """Puts the hook at the root of the wheel, which installers copy to site-packages."""

    def run(self) -> None:
        """Build as usual, then write the hook; an editable wheel is assembled in install_lib, not in build_lib."""
        super().run()
        editable = getattr(self, "editable_mode", False)
        root = Path(vars(self.get_finalized_command("install"))["install_lib"] if editable else self.build_lib)
        root.mkdir(parents=True, exist_ok=True)
        (root / HOOK_NAME).write_text(HOOK, encoding="utf-8")


setup(cmdclass={"build_py": BuildWithHook})
