"""The report of a test: what was measured, beside a baseline and what is published, as JSON and as a Markdown table."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import basicsr
import torch
from basicsr.models import build_model
from basicsr.utils import get_root_logger
from torch import nn

from datasets_prep.imresize import imresize
from datasets_prep.partial_folder import write_atomically
from deeprftv2_arch import __version__
from deeprftv2_arch.checkpoints.io import find_params
from deeprftv2_arch.errors import DeepRFTv2Error
from deeprftv2_arch.launch.options import Options
from deeprftv2_arch.models.validating_model import Baseline, Picture

BLOCK = 1 << 20  # bytes of a file that are read at once


def unchanged(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return the degraded picture itself."""
    return picture


# What each task is measured beside, and what it is called.
BASELINES: dict[str, tuple[str, Baseline]] = {
    "DeblurModel": ("input", unchanged),
    "SuperResolutionModel": ("bicubic", imresize),
}


@dataclass(frozen=True)
class Weights:
    """The weights that are tested.

    Attributes:
        file: Where they are.
        key: Under which key of the file.
        sha256: Of the file.
    """

    file: str
    key: str
    sha256: str

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Weights":
        """Look up the weights that the section ``path`` of the options names."""
        file = Path(options["pretrain_network_g"])
        return cls(str(file), find_params(file, options.get("param_key_g", "params"))[1], sha256(file))


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Report:
    """Measures the baseline together with the network, and writes both down.

    Args:
        opt: The options of the test.
    """

    def __init__(self, opt: Options) -> None:
        self.opt = opt
        self.model: Any = None

    def build_model(self, opt: Options) -> Any:
        """Build the model as BasicSR does, and let it measure the baseline too."""
        self.model = build_model(opt)
        if opt["model_type"] in BASELINES:
            self.baseline_name, self.model.baseline = BASELINES[opt["model_type"]]
            # Now, because a training may replace the file while the test is running.
            self.weights = Weights.of(opt["path"])
        return self.model

    def write(self, folder: Path) -> None:
        """Log the table and write ``report.json`` and ``report.md``; nothing where nothing of ours was measured.

        Raises:
            DeepRFTv2Error: A file cannot be written.
        """
        if self.opt["model_type"] not in BASELINES or not self.model.set_results:
            return
        content = self.content()
        text = as_markdown(content)
        get_root_logger().info("\n%s", text)
        for name, report in (("report.json", json.dumps(_plain(content), indent=2) + "\n"), ("report.md", text)):
            try:
                write_atomically(folder / name, report)
            except OSError as error:
                raise DeepRFTv2Error(
                    f"{folder / name}: cannot be written: {error.strerror}; the figures are in the log"
                ) from error

    def content(self) -> dict[str, Any]:
        """Return everything that the report says."""
        published = self.opt.get("published") or {}
        return {
            "name": self.opt["name"],
            "rows": {"baseline": self.baseline_name, "network": "network", "published": published.get("name")},
            "sets": {
                name: {
                    "pictures": result.pictures,
                    "baseline": result.baseline,
                    "network": result.network,
                    "published": published.get(name),
                }
                for name, result in self.model.set_results.items()
            },
            "metrics": {
                name: {key: value for key, value in metric.items() if key != "better"}
                for name, metric in self.opt["val"]["metrics"].items()
            },
            "restored": how_restored(self.model.get_bare_model(self.model.net_g)),
            "weights": vars(self.weights),
            "versions": {"deeprftv2_arch": __version__, "torch": torch.__version__, "basicsr": basicsr.__version__},
        }


def how_restored(network: nn.Module) -> str:
    """Say whether a network restores pictures whole or in tiles, on which its results depend."""
    tile = getattr(network, "tile", None)
    if tile is None:
        return "whole"
    return f"tiled ({tile}x{tile}, overlap {network.tile_overlap}) where larger than a tile, else whole"


def as_markdown(content: Mapping[str, Any]) -> str:
    """Return a table of the rows over the data sets, and below it how the figures came about."""
    metrics, sets = content["metrics"], content["sets"]
    lines = [
        f"# {content['name']}",
        "",
        f"| {' / '.join(metrics)} | " + " | ".join(f"{name} ({s['pictures']})" for name, s in sets.items()) + " |",
        "|---" * (1 + len(sets)) + "|",
    ]
    for row, title in content["rows"].items():
        if title is not None:
            cells = (" / ".join(_figure((s[row] or {}).get(metric)) for metric in metrics) for s in sets.values())
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += ["", "In brackets: number of pictures.", ""]
    for name, metric in metrics.items():
        arguments = ", ".join(f"{key} {value}" for key, value in metric.items() if key != "type")
        lines.append(f"* {name}: {metric['type']}" + (f" with {arguments}" if arguments else ""))
    weights = content["weights"]
    lines += [
        f"* restored: {content['restored']}",
        f"* weights: {weights['key']} of {weights['file']}, SHA-256 {weights['sha256']}",
        "* versions: " + ", ".join(f"{name} {version}" for name, version in content["versions"].items()),
    ]
    return "\n".join(lines) + "\n"


def _figure(value: float | None) -> str:
    """Two digits for what is in dB, four for what is around 1."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) >= 2 else f"{value:.4f}"


def _plain(value: Any) -> Any:
    """Return nested dictionaries with text in place of infinite numbers, for which JSON has no notation."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
