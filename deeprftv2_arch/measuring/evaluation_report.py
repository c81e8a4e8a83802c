"""What an evaluation found, as JSON, as a Markdown table beside what is published, and image by image as CSV."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from io import StringIO
from typing import Any

from deeprftv2_arch.checkpoints.recognition import NO_NETWORK_OF_OURS, describe, name_of
from deeprftv2_arch.measuring.evaluator import Evaluator
from deeprftv2_arch.measuring.report import Report, missing_rows, provenance
from deeprftv2_arch.measuring.table import Row, Table
from deeprftv2_arch.metrics.results import SetResult, means
from deeprftv2_arch.networks.protocol import traits_of

NOT_MEASURED = "n/a"


def file_name(evaluator: Evaluator, ending: str) -> str:
    """Return the name of a file of results: by protocol and tiles, and whether test sets are the published ones."""
    traits = traits_of(evaluator.network)
    tiles = "whole" if traits.tile is None else f"tiled_{traits.tile}_{traits.tile_overlap}"
    protocol = evaluator.protocol
    complete = all(len(data) == protocol.published_images(name) for name, data in evaluator.datasets.items())
    return f"{protocol.name}_{tiles}{'' if complete else '_partial'}{ending}"


def evaluation_report(evaluator: Evaluator, results: Iterable[SetResult]) -> Report:
    """Return what the report of an evaluation says."""
    options, protocol, network = evaluator.options, evaluator.protocol, evaluator.network
    # The published values are those of the protocol that the file names, if any.
    comparable = options.protocol in (None, protocol.name)
    published = (options.published if comparable else None) or {}
    section = options.network_g
    content = {
        "name": options.name,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "protocol": {"name": protocol.name, "output": protocol.output},
        "sets": averages(results, list(evaluator.metrics), published),
        "missing": evaluator.missing,
        "published_by": published.get("name"),
        **provenance(network, section, evaluator.weights, evaluator.metrics, evaluator.unavailable),
        "network": {
            "name": name_of(network),
            "type": section["type"],
            "variant": _variant(evaluator),
            "arguments": {key: value for key, value in section.items() if key != "type"},
        },
        "data": {
            name: {key: str(data.opt[key]) for key in ("dataroot_lq", "dataroot_gt", "bit_depth") if key in data.opt}
            for name, data in evaluator.datasets.items()
        },
    }
    return _laid_out(content)


def _variant(evaluator: Evaluator) -> str:
    if evaluator.weights is None:
        return "has no weights"
    described = describe(evaluator.network.state_dict())
    return described if described != NO_NETWORK_OF_OURS else name_of(evaluator.network)


def averages(results: Iterable[SetResult], metrics: Sequence[str], published: Mapping[str, Any]) -> dict[str, Any]:
    """Return the averages of all test sets, each with those of its parts, beside the published ones."""
    found = {}
    for result in results:
        found[result.name] = {
            "pictures": len(result.images),
            "published_pictures": result.published_images,
            "network": means(result.images, metrics),
            "published": published.get(result.name),
            "failed_alignments": result.failed_alignments(),
            "parts": {
                part: {
                    "pictures": len(result.part(part)),
                    "network": means(result.part(part), metrics),
                    "published": published.get(f"{result.name} {part}"),
                }
                for part in result.parts
                if result.part(part)
            },
        }
    return found


def _laid_out(content: dict[str, Any]) -> Report:
    """Return the report with its table."""
    columns = columns_of(content)
    rows = [Row(title_of(content), figures_of(columns, "network"))]
    if content["published_by"]:
        rows.append(Row(content["published_by"], figures_of(columns, "published")))
    return Report(
        content,
        Table(list(content["metrics"]), list(columns), [*rows, *missing_rows(content["missing"])]),
        legend_of(content),
        alignment_notes(content),
    )


def title_of(content: Mapping[str, Any], name: str | None = None) -> str:
    """Return what a row of a network says of it: its name, how it restores, and whether a set is the published one."""
    partial = [
        f"{extent_of(found)} ({data_set})"
        for data_set, found in content["sets"].items()
        if found["pictures"] != found["published_pictures"]
    ]
    title = f"{name or content['network']['name']}, {content['restored']}"
    return f"{title}, partial, {', '.join(partial)}" if partial else title


def extent_of(found: Mapping[str, Any]) -> str:
    """Return the number of images of a set, and of the published one where that is another."""
    number, published = found["pictures"], found["published_pictures"]
    if number == published:
        return f"{number:,}"
    return f"{number:,} of no published set" if published is None else f"{number:,} of {published:,}"


def columns_of(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what was found on every test set and on every part of one, by the title of its column."""
    columns: dict[str, Mapping[str, Any]] = {}
    for data_set, found in content["sets"].items():
        columns[f"{data_set} ({extent_of(found)})"] = found
        columns |= {f"{data_set} {part} ({of_part['pictures']:,})": of_part for part, of_part in found["parts"].items()}
    return columns


def figures_of(columns: Mapping[str, Mapping[str, Any]], row: str) -> dict[str, Any]:
    """Return the figures of a row by the titles of the columns."""
    return {title: found[row] for title, found in columns.items()}


def legend_of(content: Mapping[str, Any]) -> str:
    """Return what stands below the table."""
    name, output = content["protocol"]["name"], content["protocol"]["output"]
    return f"In brackets: number of images. Protocol {name}, on restored images of {output}."


def alignment_notes(content: Mapping[str, Any]) -> list[str]:
    """Return how often an alignment failed."""
    notes = []
    for data_set, found in content["sets"].items():
        failed = found["failed_alignments"]
        if failed is not None:
            unaligned = ", whose aligned figures are those without alignment" if failed else ""
            notes.append(
                f"* {data_set}: the alignment failed for {failed:,} of {found['pictures']:,} images{unaligned}"
            )
    return notes


def as_csv(results: Iterable[SetResult], metrics: Sequence[str], aligned: bool, faults: bool) -> str:
    """Return a line for every image.

    Args:
        results: What was measured.
        metrics: Those of the protocol; one that an image lacks becomes "n/a".
        aligned: Whether to say for which images the alignment failed.
        faults: Whether to say why an image was not measured.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["data_set", "picture", *metrics, *["alignment_failed"] * aligned, *["fault"] * faults])
    for result in results:
        for image in result.images:
            values = [repr(image.values[name]) if name in image.values else NOT_MEASURED for name in metrics]
            failed = {True: "yes", False: "no", None: NOT_MEASURED}[image.alignment_failed]
            writer.writerow([result.name, image.name, *values, *[failed] * aligned, *[image.fault or ""] * faults])
    return text.getvalue()
