"""The report of a test: what was measured, beside a baseline and what is published, as JSON and as a Markdown table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basicsr.models import build_model
from basicsr.utils import get_root_logger

from deeprftv2_arch.common.imresize import imresize
from deeprftv2_arch.measuring.provenance import how_restored, versions
from deeprftv2_arch.measuring.report_parts import as_json, provenance_lines, table, unavailable_lines, write_reports
from deeprftv2_arch.metrics.protocols import PROTOCOLS
from deeprftv2_arch.models.validating_model import Baseline, Image
from deeprftv2_arch.options.loading import Options


def unchanged(image: Image, size: tuple[int, int]) -> Image:
    """Return the degraded image itself."""
    return image


# What each task is measured beside, and what it is called.
BASELINES: dict[str, tuple[str, Baseline]] = {
    "DeblurModel": ("input", unchanged),
    "KernelEstimationModel": ("sharp image", unchanged),
    "SuperResolutionModel": ("bicubic", imresize),
    "UFPNetModel": ("input", unchanged),
}


def build_measured_model(opt: Options) -> Any:
    """Build the model as BasicSR does, and let it measure the baseline of its task too."""
    model = build_model(opt)
    if opt["model_type"] in BASELINES:
        model.baseline = BASELINES[opt["model_type"]][1]
    return model


def write_report(opt: Options, model: Any, folder: Path) -> None:
    """Log the table and write ``report.json`` and ``report.md``; nothing where nothing of ours was measured.

    Args:
        opt: The options of the test.
        model: What :func:`build_measured_model` returned, after the test.
        folder: Where to.

    Raises:
        WriteError: A file cannot be written.
    """
    if opt["model_type"] not in BASELINES or not model.set_means:
        return
    content = report_content(opt, model)
    text = as_markdown(content)
    get_root_logger().info("\n%s", text)
    write_reports(folder, {"report.json": as_json(content), "report.md": text}, "the figures are in the log")


def report_content(opt: Options, model: Any) -> dict[str, Any]:
    """Return everything that the report says."""
    metrics = opt["val"]["metrics"]
    left_out = why_published_is_left_out(opt)
    published = {} if left_out else opt.get("published") or {}
    return {
        "name": opt["name"],
        "rows": {
            "baseline": BASELINES[opt["model_type"]][0],
            "network": "network",
            "published": published.get("name"),
        },
        "sets": {
            name: {
                "pictures": means.images,
                "baseline": {metric: means.baseline.get(metric) for metric in metrics},
                "network": {metric: means.network.get(metric) for metric in metrics},
                "published": published.get(name),
            }
            for name, means in model.set_means.items()
        },
        "published_left_out": left_out,
        "metrics": {
            name: {key: value for key, value in metric.items() if key != "better"} for name, metric in metrics.items()
        },
        "unavailable": model.unavailable,
        "restored": how_restored(model.get_bare_model(model.net_g), opt["network_g"]),
        "weights": vars(model.weights),
        "versions": versions(),
    }


def why_published_is_left_out(opt: Options) -> str | None:
    """Return why figures of a test cannot stand beside the published ones of the option file; None where they can."""
    protocol = PROTOCOLS.get(opt.get("protocol") or "")
    if not opt.get("published") or protocol is None or protocol.output != "float":
        return None
    return (
        f"those of the protocol {protocol.name} are of images of floats, but a test rounds images to 8 bits; "
        "python -m deeprftv2_arch evaluate measures as they were measured"
    )


def as_markdown(content: Mapping[str, Any]) -> str:
    """Return a table of the rows over the data sets, and below it how the figures came about."""
    columns = {f"{name} ({figures['pictures']})": figures for name, figures in content["sets"].items()}
    left_out = content["published_left_out"]
    lines = [
        f"# {content['name']}",
        "",
        *table(content["metrics"], content["rows"], columns),
        "",
        "In brackets: number of images.",
        "",
        *([f"* published figures are left out: {left_out}"] if left_out else []),
        *unavailable_lines(content["unavailable"]),
        *provenance_lines(content),
    ]
    return "\n".join(lines) + "\n"
