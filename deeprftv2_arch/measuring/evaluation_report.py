"""What an evaluation found, as JSON, as a Markdown table beside what is published, and image by image as CSV."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from io import StringIO
from typing import Any

from deeprftv2_arch.checkpoints.recognition import describe
from deeprftv2_arch.measuring.evaluator import Evaluator
from deeprftv2_arch.measuring.report import Report, provenance
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
        "published_by": published.get("name"),
        **provenance(network, section, evaluator.weights, evaluator.metrics, evaluator.unavailable),
        "network": {
            "type": section["type"],
            "variant": describe(network.state_dict()) if evaluator.weights else "has no weights",
            "arguments": {key: value for key, value in section.items() if key != "type"},
        },
        "data": {
            name: {key: str(data.opt[key]) for key in ("dataroot_lq", "dataroot_gt", "bit_depth") if key in data.opt}
            for name, data in evaluator.datasets.items()
        },
    }
    return _laid_out(content)


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
    """Return the report with its table: a column for every test set and every part of one."""
    columns, partial, notes = {}, [], []
    for data_set, found in content["sets"].items():
        number, published = found["pictures"], found["published_pictures"]
        extent = f"{number:,}"
        if number != published:
            extent += " of no published set" if published is None else f" of {published:,}"
            partial.append(f"{extent} ({data_set})")
        columns[f"{data_set} ({extent})"] = found
        columns |= {f"{data_set} {part} ({of_part['pictures']:,})": of_part for part, of_part in found["parts"].items()}
        failed = found["failed_alignments"]
        if failed is not None:
            unaligned = ", whose aligned figures are those without alignment" if failed else ""
            notes.append(f"* {data_set}: the alignment failed for {failed:,} of {number:,} images{unaligned}")
    network = f"{content['network']['type']}, {content['restored']}"
    if partial:
        network += f", partial, {', '.join(partial)}"
    name, output = content["protocol"]["name"], content["protocol"]["output"]
    return Report(
        content,
        rows={"network": network, "published": content["published_by"]},
        columns=columns,
        legend=f"In brackets: number of images. Protocol {name}, on restored images of {output}.",
        notes=notes,
    )


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
