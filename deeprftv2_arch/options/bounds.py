"""Bounds of numbers in annotations of option files."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class AtLeast:
    """A lower bound, to be put into ``Annotated``."""

    minimum: int

    def admits(self, value: float) -> bool:
        """Return whether the value keeps to the bound; NaN does not."""
        return value >= self.minimum

    def __str__(self) -> str:
        return f"from {self.minimum} on"


@dataclass(frozen=True)
class Below:
    """An upper bound that is itself excluded, to be put into ``Annotated``."""

    limit: int

    def admits(self, value: float) -> bool:
        """Return whether the value keeps to the bound; NaN does not."""
        return value < self.limit

    def __str__(self) -> str:
        return f"below {self.limit}"


Positive = Annotated[int, AtLeast(1)]
NotNegative = Annotated[int, AtLeast(0)]
