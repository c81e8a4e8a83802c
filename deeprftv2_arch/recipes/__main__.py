"""``python -m deeprftv2_arch.recipes options``: write the option files of the checkout; ``make options`` does."""

import sys
from pathlib import Path

from deeprftv2_arch.options.json_schema import schema_text
from deeprftv2_arch.recipes.writing import write_all

if __name__ == "__main__":
    write_all(Path(sys.argv[1]), schema_text())
