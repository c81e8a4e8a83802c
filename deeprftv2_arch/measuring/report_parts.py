"""What all reports have in common: the table of figures, the notes below it, and files that are written whole."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deeprftv2_arch.common.atomic import write_atomically

Figures = Mapping[str, float | None]


def table(
    metrics: Iterable[str], rows: Mapping[str, str | None], columns: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return the lines of a Markdown table of figures.

    Args:
        metrics: Names of the metrics, in the order in which every cell has them.
        rows: Titles of the rows by their keys; None leaves one out.
        columns: The figures of every row, by the row's key, for every title of a column. A figure that is not there
            becomes a dash, one that is None could not be measured and becomes "n/a".
    """
    names = list(metrics)
    lines = [f"| {' / '.join(names)} | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for row, title in rows.items():
        if title is not None:
            cells = (" / ".join(_figure(column[row] or {}, name) for name in names) for column in columns.values())
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _figure(figures: Figures, metric: str) -> str:
    """Two digits for what is in dB, four for what is around 1."""
    if metric not in figures:
        return "-"
    value = figures[metric]
    if value is None:
        return "n/a"
    return f"{value:.2f}" if abs(value) >= 2 else f"{value:.4f}"


def unavailable_lines(reasons: Mapping[str, str]) -> list[str]:
    """Return a note for every metric that could not be measured, with the reason."""
    return [f"* {name}: not measured: {reason}" for name, reason in reasons.items()]


def provenance_lines(content: Mapping[str, Any]) -> list[str]:
    """Return the notes on how figures came about: metrics, way of restoring, weights and versions."""
    lines = []
    for name, metric in content["metrics"].items():
        arguments = ", ".join(f"{key} {value}" for key, value in metric.items() if key != "type")
        lines.append(f"* {name}: {metric['type']}" + (f" with {arguments}" if arguments else ""))
    lines.append(f"* restored: {content['restored']}")
    if "tiled" in content["restored"] or "windows" in content["restored"]:
        lines[-1] += "; in brackets: size and overlap, for what is larger than that"
    weights = content["weights"]
    said = f"{weights['key']} of {weights['file']}, SHA-256 {weights['sha256']}" if weights else "none"
    lines.append(f"* weights: {said}")
    return [*lines, "* versions: " + ", ".join(f"{name} {version}" for name, version in content["versions"].items())]


def as_json(content: Mapping[str, Any]) -> str:
    """Return a report as JSON."""
    return json.dumps(_plain(content), indent=2) + "\n"


def _plain(value: Any) -> Any:
    """Return nested dictionaries with text in place of infinite numbers, for which JSON has no notation."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def write_reports(folder: Path, reports: Mapping[str, str], consolation: str) -> None:
    """Write files that replace earlier ones of their names only when they are whole.

    Args:
        folder: Where to.
        reports: The text of every file by its name.
        consolation: Where else the figures are, for the message.

    Raises:
        WriteError: A file cannot be written.
    """
    for name, text in reports.items():
        write_atomically(folder / name, text.encode(), consolation)
