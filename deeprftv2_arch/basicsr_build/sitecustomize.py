"""Lets the released basicsr be built on Python 3.13 and later; only for the time of that one build.

    python -m deeprftv2_arch install-basicsr    # does this:
    PYTHONPATH=$PWD/deeprftv2_arch/basicsr_build pip install --use-pep517 --no-build-isolation basicsr

basicsr 1.4.2 is published as sources whose setup.py runs ``exec(code)`` in a function and then looks for a variable in
``locals()``. Since Python 3.13 (PEP 667) ``exec`` writes such variables to a copy, and the build ends with ``KeyError:
'__version__'``. The interpreter imports this file when it starts with that PYTHONPATH; it makes ``exec`` without
explicit dictionaries write into the calling function again.
"""

import builtins
import sys
from typing import Any

_exec = builtins.exec


def _exec_in_caller(source: Any, globals: Any = None, locals: Any = None, /, **options: Any) -> None:
    """Execute as ``exec`` did before Python 3.13."""
    if globals is None:
        caller = sys._getframe(1)
        globals, locals = caller.f_globals, caller.f_locals
    _exec(source, globals, locals, **options)


builtins.exec = _exec_in_caller
