"""What an HDR film says of the screen on which it was graded, and how light it gets."""

import struct
from dataclasses import dataclass
from fractions import Fraction

import av

from deeprftv2_arch.restoring.videos.side_data import side_data

CHROMATICITY, LUMINANCE = 50_000, 10_000  # steps in one, as HEVC stores them


@dataclass(frozen=True)
class Hdr10:
    """The static metadata of HDR10.

    Attributes:
        screen: x and y of red, green, blue and white, and the least and the most light in cd/m2; None if not said.
        light: The most light of a pixel, and of the average of a frame, in cd/m2; None if not said.
    """

    screen: tuple[Fraction, ...] | None = None
    light: tuple[int, int] | None = None

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Hdr10":
        """Return what comes with a frame."""
        screen, light = None, None
        found = side_data(frame)
        if "MASTERING_DISPLAY_METADATA" in found:
            *numbers, has_primaries, has_luminance = struct.unpack_from("=22i", found["MASTERING_DISPLAY_METADATA"])
            if has_primaries and has_luminance:
                pairs = zip(numbers[::2], numbers[1::2], strict=True)
                screen = tuple(Fraction(above, below or 1) for above, below in pairs)
        if "CONTENT_LIGHT_LEVEL" in found:
            light = struct.unpack_from("=2I", found["CONTENT_LIGHT_LEVEL"])
        return cls(screen, light)

    def __bool__(self) -> bool:
        return self.screen is not None or self.light is not None

    def parameters(self) -> list[str]:
        """Return it as parameters of x265."""
        words = []
        if self.screen is not None:
            red, green, blue, white = (
                f"({round(x * CHROMATICITY)},{round(y * CHROMATICITY)})"
                for x, y in zip(self.screen[:8:2], self.screen[1:8:2], strict=True)
            )
            least, most = (round(value * LUMINANCE) for value in self.screen[8:])
            words.append(f"master-display=G{green}B{blue}R{red}WP{white}L({most},{least})")
        if self.light is not None:
            words.append(f"max-cll={self.light[0]},{self.light[1]}")
        return words
