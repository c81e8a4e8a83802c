"""Entry point of ``python -m datasets_prep``."""

import sys

from datasets_prep.command_line import main

# Worker processes import this module too, under another name.
if __name__ == "__main__":
    sys.exit(main())
