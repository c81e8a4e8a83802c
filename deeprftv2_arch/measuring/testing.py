"""Testing by BasicSR's own loop, and its report: the network beside a baseline and what is published."""

from pathlib import Path
from typing import Any

import basicsr.test
from basicsr.models import build_model
from basicsr.utils import get_root_logger

from deeprftv2_arch.common.images import ByteImage
from deeprftv2_arch.common.imresize import imresize
from deeprftv2_arch.launch.arguments import Arguments
from deeprftv2_arch.launch.loaders import build_datasets
from deeprftv2_arch.launch.pipeline import replaced
from deeprftv2_arch.launch.processes import complete_for_process, process_group
from deeprftv2_arch.measuring.report import Report, provenance, write_reports
from deeprftv2_arch.metrics.protocols import PROTOCOLS
from deeprftv2_arch.metrics.results import baseline_means, means
from deeprftv2_arch.models.validating_model import Baseline
from deeprftv2_arch.options.loading import Options, check_first_weights, load_options


def run_testing(arguments: Arguments, root: Path) -> None:
    """Run BasicSR's ``test_pipeline``, then write the report.

    Args:
        arguments: The command line.
        root: Folder that gets ``results/``.

    Raises:
        DeepRFTv2Error: Anything that the user can put right.
    """
    opt = load_options(arguments, root, is_train=False)
    process = complete_for_process(opt, arguments)
    with process_group(process, use_gpu=opt["num_gpu"] > 0):
        # Only to find what is wrong with the data before earlier results are renamed; the loop builds its own.
        build_datasets(opt)
        check_first_weights(opt)
        models = []

        def build_model(opt: Options) -> Any:
            models.append(build_measured_model(opt))
            return models[0]

        with replaced(basicsr.test, parse_options=lambda root_path, is_train: (opt, None), build_model=build_model):
            basicsr.test.test_pipeline(str(root))
        if opt["rank"] == 0:
            write_report(opt, models[0], root / "results" / opt["name"])


def unchanged(image: ByteImage, size: tuple[int, int]) -> ByteImage:
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
    if opt["model_type"] not in BASELINES or not model.results:
        return
    report = report_of_test(opt, model)
    text = report.as_markdown()
    get_root_logger().info("\n%s", text)
    write_reports(folder, {"report.json": report.as_json(), "report.md": text}, "the values are in the log")


def report_of_test(opt: Options, model: Any) -> Report:
    """Return what the report of a test says.

    Args:
        opt: The options of the test.
        model: What :func:`build_measured_model` returned, after the test.
    """
    metrics = opt["val"]["metrics"]
    left_out = why_published_is_left_out(opt)
    published = {} if left_out else opt.get("published") or {}
    rows = {"baseline": BASELINES[opt["model_type"]][0], "network": "network", "published": published.get("name")}
    sets = {
        name: {
            "pictures": len(result.images),
            "baseline": baseline_means(result.images, metrics),
            "network": means(result.images, metrics),
            "published": published.get(name),
        }
        for name, result in model.results.items()
    }
    network = model.get_bare_model(model.net_g)
    content = {
        "name": opt["name"],
        "rows": rows,
        "sets": sets,
        "published_left_out": left_out,
        **provenance(network, opt["network_g"], model.weights, metrics, model.unavailable),
    }
    columns = {f"{name} ({found['pictures']})": found for name, found in sets.items()}
    notes = [f"* published figures are left out: {left_out}"] if left_out else []
    return Report(content, rows, columns, "In brackets: number of images.", notes)


def why_published_is_left_out(opt: Options) -> str | None:
    """Return why values of a test cannot stand beside the published ones of the option file; None where they can."""
    protocol = PROTOCOLS.get(opt.get("protocol") or "")
    if not opt.get("published") or protocol is None or protocol.output != "float":
        return None
    return (
        f"those of the protocol {protocol.name} are of images of floats, but a test rounds images to 8 bits; "
        "python -m deeprftv2_arch evaluate measures as they were measured"
    )
