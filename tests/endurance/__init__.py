"""Kills, signals, full disks and damaged files, for as long as asked; see ``__main__.py``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
