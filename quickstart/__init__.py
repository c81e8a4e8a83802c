"""Quickstarts: small networks that learn to restore photographs on this computer's CPU, in a few minutes.

Run them from the checkout's folder:

    make quickstart       or  python -m quickstart                     a DeepRFTv2 learns to deblur
    make quickstart-sr    or  python -m quickstart.super_resolution    an ATD learns to enlarge

What both do is in ``steps.py``, what they differ in is a ``Task``.
"""

import os
import sys

# Threads sleep while they wait, instead of spinning: many times faster where other programs want the cores too. OpenMP
# reads this when PyTorch is loaded; after that it would reach child processes alone.
if "torch" not in sys.modules:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
