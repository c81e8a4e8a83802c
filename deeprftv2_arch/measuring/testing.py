"""Testing by BasicSR's own loop, and its report: the network beside a baseline and what is published."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import basicsr.test
from basicsr.models import build_model
from basicsr.utils import get_root_logger

from deeprftv2_arch.checkpoints.recognition import name_of
from deeprftv2_arch.checkpoints.weights import weights_in
from deeprftv2_arch.common.imresize import imresize
from deeprftv2_arch.launch.image_sizes import check_sizes_for_niqe
from deeprftv2_arch.launch.loaders import build_held_out, require_one
from deeprftv2_arch.launch.pipeline import replaced
from deeprftv2_arch.launch.processes import begin_process, only_run_in, process_group
from deeprftv2_arch.measuring.report import Report, missing_rows, provenance, write_reports
from deeprftv2_arch.measuring.runs import runs_of_checkpoints
from deeprftv2_arch.measuring.table import Row, Table
from deeprftv2_arch.metrics.protocols import PROTOCOLS
from deeprftv2_arch.metrics.results import baseline_means, means
from deeprftv2_arch.models.measured_model import MeasuredSRModel
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.loading import Options, Run, check_first_weights, load_options
from deeprftv2_arch.options.model_types import Baseline, unchanged
from deeprftv2_arch.options.sections import TestingOptions

STOCK = "SRModel"  # the model of BasicSR's whose tests are reported as those of this project are


def run_testing(
    arguments: Arguments,
    root: Path,
    checkpoint: Path | None = None,
    protocol: str | None = None,
    data: Path | None = None,
) -> None:
    """Run BasicSR's ``test_pipeline``, then write the report.

    Args:
        arguments: The command line.
        root: Folder that gets ``results/``.
        checkpoint: Weights of a network that is tested in place of the option file's.
        protocol: Without an option file, name of the protocol whose sets and metrics are taken.
        data: Without an option file, the folder that holds these sets.

    Raises:
        DeepRFTv2Error: Anything that the user can put right.
    """
    if checkpoint is None:
        run = load_options(arguments, root, is_train=False)
    else:
        files = [arguments.opt] if data is None else []
        (run,) = runs_of_checkpoints([checkpoint], files, protocol, data, arguments, root, evaluates=False)
    process = begin_process(run, arguments.launcher)
    opt = run.to_basicsr() | process.for_basicsr()
    with process_group(process), only_run_in(run.folder):
        # Only to find what is wrong with the data before earlier results are renamed; the loop builds its own.
        datasets, missing = build_held_out(opt["datasets"])
        require_one(datasets, missing)
        check_sizes_for_niqe(run, datasets)
        opt["datasets"] = {name: opt["datasets"][name] for name in datasets}
        # Chosen here, since BasicSR's own models look for one key alone.
        opt["path"]["param_key_g"] = check_first_weights(run)
        models = []

        def build_model(opt: Options) -> Any:
            models.append(build_measured_model(opt, baseline_of(run)))
            if checkpoint is not None:
                models[0].weights = weights_in(Path(run.options.network_g["checkpoint"]))
            return models[0]

        with replaced(basicsr.test, parse_options=lambda root_path, is_train: (opt, None), build_model=build_model):
            basicsr.test.test_pipeline(str(root))
        if process.rank == 0:
            write_report(run, models[0], missing)


def build_measured_model(opt: Options, baseline: Baseline | None) -> Any:
    """Build the model as BasicSR does, and let it measure the baseline of its task too."""
    model = MeasuredSRModel(opt) if opt["model_type"] == STOCK else build_model(opt)
    if baseline is not None:
        model.baseline = baseline.image
    return model


def baseline_of(run: Run) -> Baseline | None:
    """Return what stands beside the network: by its ``model_type``, and of BasicSR's SRModel by the scale."""
    if run.options.model_type == STOCK:
        return Baseline("bicubic", imresize) if run.options.scale > 1 else Baseline("input", unchanged)
    return run.model_type.baseline


def write_report(run: Run, model: Any, missing: Mapping[str, str]) -> None:
    """Log the table and write ``report.json`` and ``report.md``; nothing where nothing of ours was measured.

    Args:
        run: The test.
        model: What :func:`build_measured_model` returned, after the test.
        missing: Why sets were left out, by their names.

    Raises:
        WriteError: A file cannot be written.
    """
    baseline = baseline_of(run)
    if baseline is None or not model.results:
        return
    report = report_of_test(run.options, baseline.title, model, missing)
    text = report.as_markdown()
    get_root_logger().info("\n%s", text)
    write_reports(run.folder, {"report.json": report.as_json(), "report.md": text}, "the values are in the log")


def report_of_test(options: TestingOptions, baseline: str, model: Any, missing: Mapping[str, str]) -> Report:
    """Return what the report of a test says.

    Args:
        options: Those of the test.
        baseline: Title of the baseline.
        model: What :func:`build_measured_model` returned, after the test.
        missing: Why sets were left out, by their names.
    """
    metrics = options.val.metrics or {}
    left_out = why_published_is_left_out(options)
    published = {} if left_out else options.published or {}
    network = model.get_bare_model(model.net_g)
    rows = {"baseline": baseline, "network": name_of(network), "published": published.get("name")}
    sets: dict[str, dict[str, Any]] = {
        name: {
            "pictures": len(result.images),
            "baseline": baseline_means(result.images, metrics),
            "network": means(result.images, metrics),
            "published": published.get(name),
        }
        for name, result in model.results.items()
    }
    content = {
        "name": options.name,
        "rows": rows,
        "sets": sets,
        "missing": dict(missing),
        "published_left_out": left_out,
        **provenance(network, options.network_g, model.weights, metrics, model.unavailable),
    }
    columns = {f"{name} ({found['pictures']})": found for name, found in sets.items()}
    notes = [f"* published figures are left out: {left_out}"] if left_out else []
    table = Table(
        list(metrics),
        list(columns),
        [
            *(
                Row(title, {column: found[row] for column, found in columns.items()})
                for row, title in rows.items()
                if title is not None
            ),
            *missing_rows(missing),
        ],
    )
    return Report(content, table, "In brackets: number of images.", notes)


def why_published_is_left_out(options: TestingOptions) -> str | None:
    """Return why values of a test cannot stand beside the published ones of the option file; None where they can."""
    protocol = PROTOCOLS.get(options.protocol or "")
    if not options.published or protocol is None or protocol.output != "float":
        return None
    return (
        f"those of the protocol {protocol.name} are of images of floats, but a test rounds images to 8 bits; "
        "python -m deeprftv2_arch evaluate measures as they were measured"
    )
