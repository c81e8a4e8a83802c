"""Figures of restored images beside BasicSR's own, by the protocols of the deblurring literature."""

import basicsr  # noqa: F401  (first: its import registers this package, for which no module may be half imported)
