"""BasicSR models: how the networks are trained, validated, saved and resumed."""

import basicsr  # noqa: F401  (first: its import registers this package, for which no module may be half imported)
