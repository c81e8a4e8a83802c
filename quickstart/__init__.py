"""The quickstart: a small DeepRFTv2 learns to deblur photographs on this computer's CPU, in a few minutes.

Run it with ``make quickstart`` or ``python -m quickstart`` from the checkout's folder.
"""

import os

# Threads sleep while they wait, instead of spinning: many times faster where other programs want the cores too. OpenMP
# reads this when PyTorch is loaded, so it has to be said before that.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
