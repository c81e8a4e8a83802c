"""Reports: a table of metrics, notes below it on how they came about, and files that are written whole."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import basicsr
import cv2
import numpy as np
import torch
from torch import nn

from deeprftv2_arch import __version__
from deeprftv2_arch.checkpoints.weights import AVERAGE, Weights
from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.measuring.table import Row, Table
from deeprftv2_arch.metrics.metric_values import MetricSections
from deeprftv2_arch.networks.kernel_guided import KernelGuidedNetwork
from deeprftv2_arch.networks.protocol import traits_of


@dataclass(frozen=True)
class Report:
    """What a report says, and its table.

    Attributes:
        content: All of it, as it becomes JSON: at least the ``name`` of the run and its :func:`provenance`.
        table: The table over the data sets.
        legend: What stands below the table.
        notes: Lines of Markdown below that.
    """

    content: Mapping[str, Any]
    table: Table
    legend: str
    notes: Iterable[str] = ()

    def as_markdown(self) -> str:
        """Return the table, and below it how the values came about."""
        lines = [
            f"# {self.content['name']}",
            "",
            self.table.as_markdown(),
            "",
            self.legend,
            "",
            *self.notes,
            *missing_lines(self.content.get("missing", {})),
            *metric_lines(self.content),
            *_provenance_lines(self.content),
        ]
        return "\n".join(lines) + "\n"

    def as_json(self) -> str:
        """Return the content as JSON."""
        return plain_json(self.content)


def missing_rows(missing: Iterable[str]) -> list[Row]:
    """Return a row for every test set that is not there."""
    return [Row(f"{name}: missing, see below") for name in missing]


def missing_lines(missing: Mapping[str, str]) -> list[str]:
    """Return why test sets are not there."""
    return [f"* {name}: missing: {reason}" for name, reason in missing.items()]


def provenance(
    network: nn.Module,
    section: Mapping[str, Any],
    weights: Weights | None,
    metrics: MetricSections,
    unavailable: Mapping[str, str],
) -> dict[str, Any]:
    """Return all that makes values comparable.

    Args:
        network: The network that was measured.
        section: What it was built from, ``network_g`` of the options.
        weights: Where its weights are from; None where it has none.
        metrics: What was to be measured.
        unavailable: Why a metric could not be measured, by its name.
    """
    return {
        "metrics": {
            name: {key: value for key, value in metric.items() if key != "better"} for name, metric in metrics.items()
        },
        "unavailable": unavailable,
        "restored": how_restored(network, section),
        "weights": vars(weights) if weights else None,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of everything that a value may depend on."""
    return {
        "deeprftv2_arch": __version__,
        "torch": torch.__version__,
        "basicsr": basicsr.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


def how_restored(network: nn.Module, arguments: Mapping[str, Any]) -> str:
    """Say what of an image the network sees at once, on which its results depend.

    Args:
        network: The network.
        arguments: What it was built from, the section ``network_g`` of the options.
    """
    traits = traits_of(network)
    parts = ["whole" if traits.tile is None else f"tiled ({traits.tile}, {traits.tile_overlap})"]
    if arguments.get("smallest_size"):
        height, width = arguments["smallest_size"]
        parts.append(f"padded to at least {height}x{width}")
    if arguments.get("fke_window"):
        parts.append(f"FKE in windows ({arguments['fke_window']}, {arguments.get('fke_overlap', 0)})")
    if arguments.get("train_size"):
        parts.append(f"TLC {arguments['train_size']}")
    if isinstance(network, KernelGuidedNetwork):
        parts.append(_how_kernels_are_drawn(network))
    return ", ".join(parts)


def _how_kernels_are_drawn(network: KernelGuidedNetwork) -> str:
    if network.samples == 0:
        return "kernels of the mean codes"
    seed = "unseeded" if network.seed is None else f"seed {network.seed}"
    return f"{network.samples} draw{'s' if network.samples > 1 else ''} of kernels, {seed}"


def metric_lines(content: Mapping[str, Any]) -> list[str]:
    """Return the notes on what was measured, and on what could not be."""
    lines = [f"* {name}: not measured: {reason}" for name, reason in content["unavailable"].items()]
    for name, metric in content["metrics"].items():
        arguments = ", ".join(f"{key} {value}" for key, value in metric.items() if key != "type")
        lines.append(f"* {name}: {metric['type']}" + (f" with {arguments}" if arguments else ""))
    return lines


def weights_line(content: Mapping[str, Any]) -> str:
    """Return where the weights are from."""
    weights = content["weights"]
    if not weights:
        return "none"
    average = ", the average of the training" if weights["key"] == AVERAGE else ""
    return f"{weights['key']} of {weights['file']}{average}, SHA-256 {weights['sha256']}"


def versions_line(content: Mapping[str, Any]) -> str:
    """Return the note on versions."""
    return "* versions: " + ", ".join(f"{name} {version}" for name, version in content["versions"].items())


def _provenance_lines(content: Mapping[str, Any]) -> list[str]:
    """Return the notes on how values came about: way of restoring, weights, versions and network."""
    lines = [f"* restored: {content['restored']}"]
    if "tiled" in content["restored"] or "windows" in content["restored"]:
        lines[-1] += "; in brackets: size and overlap, for what is larger than that"
    lines += [f"* weights: {weights_line(content)}", versions_line(content)]
    return lines + ([f"* network: {content['network']['variant']}"] if "network" in content else [])


def plain_json(content: Mapping[str, Any]) -> str:
    """Return the content of a report as JSON."""
    return json.dumps(_plain(content), indent=2) + "\n"


def _plain(value: Any) -> Any:
    """Return nested dictionaries and lists with text in place of infinite numbers, for which JSON has no notation."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def write_reports(folder: Path, reports: Mapping[str, str], consolation: str) -> None:
    """Write files that replace earlier ones of their names only when they are whole.

    Args:
        folder: Where to.
        reports: The text of every file by its name.
        consolation: Where else the values are, for the message.

    Raises:
        WriteError: A file cannot be written.
    """
    for name, text in reports.items():
        write_atomically(folder / name, text.encode(), consolation)
