"""Option files: read safely, checked, and turned into values."""

import basicsr  # noqa: F401  (first: its import registers this package, for which no module may be half imported)
