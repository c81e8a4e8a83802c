"""The report of a test: what was measured, beside a baseline and what is published, as JSON and as a Markdown table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basicsr.models import build_model
from basicsr.utils import get_root_logger

from datasets_prep.imresize import imresize
from deeprftv2_arch.launch.options import Options
from deeprftv2_arch.launch.provenance import Weights, how_restored, versions
from deeprftv2_arch.launch.report_files import as_json, provenance_lines, table, write_reports
from deeprftv2_arch.models.validating_model import Baseline, Picture


def unchanged(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return the degraded picture itself."""
    return picture


# What each task is measured beside, and what it is called.
BASELINES: dict[str, tuple[str, Baseline]] = {
    "DeblurModel": ("input", unchanged),
    "SuperResolutionModel": ("bicubic", imresize),
}


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
        write_reports(folder, {"report.json": as_json(content), "report.md": text}, "the figures are in the log")

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
            "restored": how_restored(self.model.get_bare_model(self.model.net_g), self.opt["network_g"]),
            "weights": vars(self.weights),
            "versions": versions(),
        }


def as_markdown(content: Mapping[str, Any]) -> str:
    """Return a table of the rows over the data sets, and below it how the figures came about."""
    columns = {f"{name} ({figures['pictures']})": figures for name, figures in content["sets"].items()}
    lines = [
        f"# {content['name']}",
        "",
        *table(content["metrics"], content["rows"], columns),
        "",
        "In brackets: number of pictures.",
        "",
        *provenance_lines(content),
    ]
    return "\n".join(lines) + "\n"
