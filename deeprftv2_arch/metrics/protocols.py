"""How the published values of every data set were measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deeprftv2_arch.errors import OptionError


@dataclass(frozen=True)
class ProtocolMetric:
    """A metric of a protocol.

    Attributes:
        type: What measures it, by its name in METRIC_REGISTRY.
        luma: Whether on the luma of BT.601 and without a border of ``scale`` pixels, as in super-resolution.
    """

    type: str
    luma: bool = False

    def section(self, scale: int) -> dict[str, Any]:
        """Return the section of an option file that describes the metric."""
        on_luma = {"test_y_channel": True} if self.luma else {}
        return {"type": self.type, "crop_border": scale if self.luma else 0, **on_luma}


@dataclass(frozen=True)
class Protocol:
    """One way of measuring, whose values can be compared.

    Attributes:
        name: What the user calls it.
        test_sets: Number of images of every published test set that is measured so.
        output: ``uint8``: restored images are clamped and rounded to 8 bits; ``float``: clamped only.
        metrics: What is measured on every image, by the names that option files give metrics; the first one ranks
            the images.
        parts: Parts of the test set that have averages of their own, where the prepared data name their images.
    """

    name: str
    test_sets: Mapping[str, int]
    output: Literal["uint8", "float"]
    metrics: Mapping[str, ProtocolMetric]
    parts: tuple[str, ...] = ()

    def published_images(self, data_set: str) -> int | None:
        """Return how many images the test set has that a data set stands for; None if it is no published one.

        Where all published sets are of one size, the data set may have any name.
        """
        sizes = set(self.test_sets.values())
        return self.test_sets.get(data_set, sizes.pop() if len(sizes) == 1 else None)

    def metric_sections(self, scale: int) -> dict[str, dict[str, Any]]:
        """Return the metrics as the section ``val: metrics`` of an option file for this scale has them."""
        return {name: metric.section(scale) for name, metric in self.metrics.items()}


_GOPRO = {"psnr": ProtocolMetric("calculate_psnr"), "ssim": ProtocolMetric("calculate_ssim_3d")}

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("gopro", {"GoPro-test": 1111}, "uint8", _GOPRO),
        Protocol("hide", {"HIDE-test": 2025}, "uint8", _GOPRO),
        Protocol(
            "realblur",
            {"RealBlur-R-test": 980, "RealBlur-J-test": 980},
            "uint8",
            {
                "psnr": ProtocolMetric("calculate_psnr"),
                "ssim": ProtocolMetric("calculate_ssim"),
                "psnr_aligned": ProtocolMetric("calculate_psnr_aligned"),
                "ssim_aligned": ProtocolMetric("calculate_ssim_aligned"),
            },
        ),
        Protocol("reds", {"REDS-val-300": 300}, "uint8", _GOPRO),
        Protocol(
            "dpdd",
            {"DPDD-test": 76},
            "float",
            {
                "psnr": ProtocolMetric("calculate_psnr_float"),
                "ssim": ProtocolMetric("calculate_ssim_uniform"),
                "mae": ProtocolMetric("calculate_mae"),
                "lpips": ProtocolMetric("calculate_lpips"),
            },
            parts=("indoor", "outdoor"),
        ),
        Protocol(
            "sr",
            {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100, "Manga109": 109},
            "uint8",
            {"psnr": ProtocolMetric("calculate_psnr", luma=True), "ssim": ProtocolMetric("calculate_ssim", luma=True)},
        ),
    )
}


def find_protocol(name: str | None, where: str) -> Protocol:
    """Return the protocol of a name.

    Args:
        name: Its name; None where none was given.
        where: What named it, for the message.

    Raises:
        OptionError: There is no such protocol, or no name.
    """
    known = f"known are {', '.join(PROTOCOLS)}"
    if name is None:
        raise OptionError(f"{where}: missing; add it or say --protocol NAME; {known}")
    if name not in PROTOCOLS:
        raise OptionError(f"{where}: nothing is called {name!r}; {known}")
    return PROTOCOLS[name]
