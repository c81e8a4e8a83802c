"""Several networks under one protocol: one table with what papers report, one file of all images, one JSON."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from io import StringIO
from pathlib import Path
from typing import Any

from deeprftv2_arch.checkpoints.building import is_of_checkpoint
from deeprftv2_arch.checkpoints.recognition import name_of
from deeprftv2_arch.measuring.costs import COUNTED_ON, Costs
from deeprftv2_arch.measuring.evaluation_report import (
    NOT_MEASURED,
    alignment_notes,
    columns_of,
    evaluation_report,
    figures_of,
    legend_of,
    title_of,
)
from deeprftv2_arch.measuring.evaluator import Evaluator
from deeprftv2_arch.measuring.report import metric_lines, plain_json, versions_line, weights_line
from deeprftv2_arch.measuring.table import Row, Table
from deeprftv2_arch.metrics.published import published_rows
from deeprftv2_arch.metrics.results import SetResult

PARAMETERS, MACS, SECONDS, SCALE = "parameters, M", "GMACs", "s / image", "scale"


@dataclass(frozen=True)
class Measured:
    """A network, and what was found.

    Attributes:
        evaluator: The network and what measured it.
        results: Of every test set.
        costs: Of the network.
        name: What tells it from the others.
    """

    evaluator: Evaluator
    results: list[SetResult]
    costs: Costs
    name: str

    @property
    def faults(self) -> list[str]:
        """Why images could not be measured."""
        return [image.fault for result in self.results for image in result.images if image.fault is not None]

    @property
    def seconds(self) -> float | None:
        """How long the network took for an image, on average."""
        taken = [image.seconds for result in self.results for image in result.images if image.seconds is not None]
        return sum(taken) / len(taken) if taken else None


def names_of(evaluators: Sequence[Evaluator]) -> list[str]:
    """Name each network so that no other is called the same.

    By what it is and where it comes from: its checkpoint, or the run of its option file; where that is not enough, by
    the path of its weights, and at last by a number.
    """
    short, long = [], []
    for evaluator in evaluators:
        options, weights = evaluator.options, evaluator.weights
        source = Path(options.network_g["checkpoint"]).name if is_of_checkpoint(options.network_g) else options.name
        short.append(f"{name_of(evaluator.network)} ({source})")
        long.append(f"{name_of(evaluator.network)} ({weights.file})" if weights else short[-1])
    named = [brief if short.count(brief) == 1 else whole for brief, whole in zip(short, long, strict=True)]
    earlier = [named[:number].count(name) for number, name in enumerate(named)]
    return [f"{name}, {before + 1}" if before else name for name, before in zip(named, earlier, strict=True)]


class Comparison:
    """What was found of several networks.

    Args:
        measured: The networks, in the order of the command line.
        name: Of the run.
    """

    def __init__(self, measured: Sequence[Measured], name: str) -> None:
        self.measured = sorted(measured, key=lambda one: one.evaluator.options.scale)
        self.name = name
        self.whole = [one for one in self.measured if not one.faults]
        self.contents = [self._content(one) for one in self.whole]
        self.scales = sorted({one.evaluator.options.scale for one in self.measured})
        self.table = self._table()

    @staticmethod
    def _content(one: Measured) -> dict[str, Any]:
        costs = {"parameters": one.costs.parameters, "macs": one.costs.macs, "seconds_per_image": one.seconds}
        content = evaluation_report(one.evaluator, one.results).content
        return {**content, "title": one.name, "scale": one.evaluator.options.scale, "costs": costs}

    def _table(self) -> Table:
        columns = {title: found for content in self.contents for title, found in columns_of(content).items()}
        rows = [row for scale in self.scales for row in self._rows(scale, columns)]
        scale = [SCALE] if len(self.scales) > 1 else []
        metrics = list(self.measured[0].evaluator.metrics)
        return Table(metrics, list(columns), rows, [*scale, PARAMETERS, MACS, SECONDS])

    def _rows(self, scale: int, columns: dict[str, Any]) -> list[Row]:
        """Return the rows of a scale: networks, what is published, and which sets are missing."""
        at_scale = {SCALE: f"x{scale}"}
        rows = []
        for one in (one for one in self.measured if one.evaluator.options.scale == scale):
            if one.faults:
                note = f"{one.name}: {len(one.faults):,} images could not be measured, so there is no average"
                rows.append(Row(note, {}, at_scale))
                continue
            content = self.contents[self.whole.index(one)]
            rows.append(
                Row(title_of(content, one.name), figures_of(columns_of(content), "network"), at_scale | _costs(one))
            )
        of_scale = [content for content in self.contents if content["scale"] == scale]
        for published in self._published(scale):
            figures = {
                title: published[data_set]
                for content in of_scale
                for title, data_set in _sets_of_columns(content).items()
                if data_set in published
            }
            if figures:
                rows.append(Row(published["name"], figures, at_scale))
        return rows + [Row(f"{name}: missing, see below", {}, at_scale) for name in self._missing(scale)]

    def _published(self, scale: int) -> list[dict[str, Any]]:
        """Return what option files and the table of this package say of papers, each paper's row once."""
        of_scale = [one.evaluator for one in self.measured if one.evaluator.options.scale == scale]
        protocol = of_scale[0].protocol.name
        rows = {row["name"]: row for row in published_rows(protocol, scale)}
        for options in (evaluator.options for evaluator in of_scale):
            if options.published and options.protocol in (None, protocol):
                rows[options.published["name"]] = dict(options.published)
        return list(rows.values())

    def _missing(self, scale: int) -> dict[str, str]:
        return next(one.evaluator.missing for one in self.measured if one.evaluator.options.scale == scale)

    def as_markdown(self) -> str:
        """Return the table, and below it how the values came about."""
        first = self.contents[0]
        on = {one.evaluator.device for one in self.measured}
        lines = [
            f"# {self.name}",
            "",
            self.table.as_markdown(),
            "",
            f"{legend_of(first)} GMACs: of convolutions and matrix products, by PyTorch's counter, for {COUNTED_ON}. "
            f"Seconds: of the network alone, mean over all images, on {' and '.join(sorted(on))}.",
            "",
            *dict.fromkeys(note for content in self.contents for note in alignment_notes(content)),
            *(
                f"* {name}{f' x{scale}' if len(self.scales) > 1 else ''}: missing: {reason}"
                for scale in self.scales
                for name, reason in self._missing(scale).items()
            ),
            *dict.fromkeys(line for content in self.contents for line in metric_lines(content)),
            *(
                f"* {content['title']}: {content['network']['variant']}; weights: {weights_line(content)}"
                for content in self.contents
            ),
            versions_line(first),
        ]
        return "\n".join(lines) + "\n"

    def as_json(self) -> str:
        """Return all that was found, and all that makes it comparable."""
        return plain_json(
            {
                "name": self.name,
                "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "missing": {f"x{scale}": self._missing(scale) for scale in self.scales},
                "networks": self.contents,
                "published": {f"x{scale}": self._published(scale) for scale in self.scales},
            }
        )

    def images_as_csv(self) -> str:
        """Return a line for every image and network."""
        metrics = list(self.measured[0].evaluator.metrics)
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["network", "scale", "data_set", "picture", *metrics, "seconds", "fault"])
        for one in self.measured:
            for result in one.results:
                for image in result.images:
                    values = [repr(image.values[name]) if name in image.values else NOT_MEASURED for name in metrics]
                    seconds = "" if image.seconds is None else f"{image.seconds:.4f}"
                    start = [one.name, one.evaluator.options.scale, result.name, image.name]
                    writer.writerow([*start, *values, seconds, image.fault or ""])
        return text.getvalue()

    def file_name(self, ending: str) -> str:
        """Return the name of a file of results."""
        partial = any(result.published_images != len(result.images) for one in self.measured for result in one.results)
        return f"{self.measured[0].evaluator.protocol.name}_compared{'_partial' if partial else ''}{ending}"


def _costs(one: Measured) -> dict[str, str]:
    macs, seconds = one.costs.macs, one.seconds
    return {
        PARAMETERS: f"{one.costs.parameters / 1e6:.3f}",
        MACS: NOT_MEASURED if macs is None else f"{macs / 1e9:.2f}",
        SECONDS: NOT_MEASURED if seconds is None else f"{seconds:.3f}",
    }


def _sets_of_columns(content: dict[str, Any]) -> dict[str, str]:
    """Return the name of the test set, or of the part of one, of every column."""
    names = [
        name
        for data_set, found in content["sets"].items()
        for name in (data_set, *(f"{data_set} {part}" for part in found["parts"]))
    ]
    return dict(zip(columns_of(content), names, strict=True))
