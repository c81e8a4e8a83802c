"""Whatever is imported first, all of this package ends up in BasicSR's registries."""

import os
import subprocess
import sys

import pytest

FIRST = (
    "basicsr",
    "basicsr.utils.registry",
    "deeprftv2_arch.models.deblur_model",
    "deeprftv2_arch.networks.cards",
    "deeprftv2_arch.options.building",
    "deeprftv2_arch.options.checks",
    "deeprftv2_arch.registration",
    "deeprftv2_arch.train",
)
CODE = """
import importlib, os, sys
import torch, torchvision  # once for all; BasicSR and this package anew in every fork
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        status = 1
        try:
            import basicsr_torchvision_repair
            if name.startswith("basicsr"):
                importlib.import_module(name)
            importlib.import_module("deeprftv2_arch")
            assert name.startswith("basicsr") or "basicsr" not in sys.modules
            importlib.import_module(name)
            import basicsr
            from deeprftv2_arch.registration import REGISTERED
            missing = [o for registry, found in REGISTERED.items() for o in found if o.__name__ not in registry]
            assert REGISTERED and not missing, missing
            status = 0
        except BaseException as error:
            print(name, repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit(1 if failed else 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked for every module")
def test_everything_is_registered_whatever_is_imported_first() -> None:
    done = subprocess.run([sys.executable, "-c", CODE, *FIRST], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
