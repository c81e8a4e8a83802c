"""``python -m benchmarks.ablation``: rows of the paper's Tables 6 and 7, trained small and under equal conditions.

Every row's network, as narrow and short as the settings say, learns from the photographs of the quickstart, blurred by
the same simulated motions. Rows share seeds, patches and their order, iterations, losses and optimiser. The table gives
the PSNR on photographs that none of them saw, with the spread over the seeds, and the difference from the first row,
seed by seed, with its 95 % confidence interval, beside the paper's. Finished runs are kept, so that a command that was
stopped goes on where it was.
"""

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from scipy import stats
from tqdm import tqdm

from benchmarks import ablation_training
from benchmarks.ablation_training import ROW_FILES, Settings
from benchmarks.environment import environment_lines
from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.errors import DeepRFTv2Error, OptionError
from quickstart.steps import positive

RESULTS = Path(__file__).parent / "results"
CONFIDENCE = 0.95
DEFAULT_ROWS = ["table7_no_fke", "table7_spatial", "table7_no_activation", "table7_added", "table7_full"]
# PSNR on GoPro; of three rows the paper is known here only to lie within a range.
PAPER: dict[str, tuple[float, float]] = {
    **{
        f"table6_row{row:02d}": (psnr, psnr)
        for row, psnr in enumerate(
            (33.00, 32.95, 33.32, 32.74, 33.06, 33.10, 33.11, 33.11, 33.17, 33.62, 33.66, 33.84, 33.90, 34.10, 34.34), 1
        )
    },
    "table7_no_fke": (32.74, 32.74),
    "table7_spatial": (32.72, 32.72),
    "table7_no_activation": (32.74, 32.74),
    **{f"table7_from_{source}": (32.72, 32.84) for source in ("blurred", "restored", "e1")},
    "table7_added": (32.90, 32.90),
    "table7_full": (33.06, 33.06),
    "table7_without_skip": (34.04, 34.04),
    "table7_with_skip": (34.10, 34.10),
}

MeanPSNR = dict[str, dict[int, float]]  # mean PSNR of a run, by row and seed


def kept_run(file: Path, settings: Settings) -> float | None:
    """Return the mean PSNR of a run that was finished earlier, or None.

    Raises:
        OptionError: It was made with other settings, or is damaged.
    """
    if not file.is_file():
        return None
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        made_with, psnr = run["settings"], float(statistics.mean(run["psnr"]))
    except (ValueError, KeyError, TypeError) as error:
        raise OptionError(f"{file}: is torn, or no run of this benchmark; remove it") from error
    if made_with != asdict(settings):
        raise OptionError(f"{file}: was made with other settings; name another folder with --runs")
    return psnr


def run_all(
    rows: Sequence[str], seeds: Sequence[int], settings: Settings, runs: Path, output: Path, device: torch.device
) -> str:
    """Train and measure what is missing; the table is written after every run and returned in the end."""
    psnr: MeanPSNR = {row: {} for row in rows}
    missing = []
    for seed in seeds:  # seed by seed, so that a table of all rows is there early
        for row in rows:
            kept = kept_run(runs / f"{row}_seed{seed}.json", settings)
            if kept is None:
                missing.append((row, seed))
            else:
                psnr[row][seed] = kept
    held_out = ablation_training.held_out_pairs()
    blurred = statistics.mean(ablation_training.psnr(before, sharp) for before, sharp in held_out)
    pairs = ablation_training.training_pairs(settings) if missing else []
    runs.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(missing) * settings.iterations, unit="it") as bar:

        def step_done(loss: float) -> None:
            bar.update()
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)

        for row, seed in missing:
            bar.set_description(f"{row}, seed {seed}")
            network = ablation_training.train(row, seed, settings, pairs, device, step_done)
            found = ablation_training.measure(network, held_out, device)
            run = {"settings": asdict(settings), "psnr": found}
            write_atomically(runs / f"{row}_seed{seed}.json", json.dumps(run, indent=2).encode())
            psnr[row][seed] = statistics.mean(found)
            write_atomically(output, report(psnr, seeds, settings, blurred, device).encode())
    text = report(psnr, seeds, settings, blurred, device)
    write_atomically(output, text.encode())
    return text


def report(psnr: MeanPSNR, seeds: Sequence[int], settings: Settings, blurred: float, device: torch.device) -> str:
    """Return the result file."""
    measured = [row for row, of_seeds in psnr.items() if of_seeds]
    chosen = f"--rows {' '.join(psnr)} --seeds {' '.join(map(str, seeds))} --threads {torch.get_num_threads()}"
    lines = [
        "Measured by",
        "",
        f"    python -m benchmarks.ablation {settings.as_arguments()} \\",
        f"        {chosen}",
        "",
        *environment_lines(device),
        "",
        f"PSNR in dB, mean of the held-out photographs ({blurred:.2f} blurred), mean and standard deviation over the",
        "seeds. Differences are from the first row, paired by seed, with their 95 % confidence interval (Student's t);",
        "one whose interval holds 0 is undecided. An interval is about these photographs, this blur and networks and",
        "trainings of this size; what varies is the seed: first weights, patches and their order.",
        "",
        "| row | seeds | PSNR | difference | reading | PSNR in the paper (GoPro) | difference in the paper |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(table_line(row, measured[0], psnr) for row in measured)]) + "\n"


def table_line(row: str, first: str, psnr: MeanPSNR) -> str:
    """Return the line of one row, beside the first row."""
    spread = deviation(psnr[row])
    mean = f"{statistics.mean(psnr[row].values()):.3f}" + ("" if spread is None else f" ± {spread:.3f}")
    cells = [row, str(len(psnr[row])), mean, *difference(psnr[row], psnr[first], row == first)]
    low, high = PAPER[row]
    base = PAPER[first][0]
    cells.append(f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}")
    if row == first:
        cells.append("")
    else:
        cells.append(f"{low - base:+.2f}" if low == high else f"{low - base:+.2f} to {high - base:+.2f}")
    return f"| {' | '.join(cells)} |"


def deviation(of_seeds: Mapping[int, float]) -> float | None:
    """Return the standard deviation over the seeds; None for a single one."""
    return statistics.stdev(of_seeds.values()) if len(of_seeds) > 1 else None


def difference(ours: Mapping[int, float], firsts: Mapping[int, float], is_first: bool) -> tuple[str, str]:
    """Return the mean difference of the seeds that both rows have with its interval, and what may be read from it."""
    shared = ours.keys() & firsts.keys()
    if is_first or not shared:
        return "", ""
    paired = [ours[seed] - firsts[seed] for seed in shared]
    mean = statistics.mean(paired)
    if len(paired) == 1:
        return f"{mean:+.3f}", "one seed: no interval"
    low, high = confidence_interval(paired)
    reading = "better" if low > 0 else "worse" if high < 0 else "undecided"
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})", reading


def confidence_interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean of two or more differences, by Student's t."""
    count = len(differences)
    quantile = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1))
    half = quantile * statistics.stdev(differences) / math.sqrt(count)
    mean = statistics.mean(differences)
    return mean - half, mean + half


def seed_number(text: str) -> int:
    """Parse a whole number of at least 0, for argparse."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is not at least 0")
    return number


def main(arguments: list[str] | None = None) -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rows = sorted(path.stem for path in ROW_FILES.glob("*.yml"))
    parser.add_argument(
        "--rows", nargs="+", choices=rows, default=DEFAULT_ROWS, metavar="ROW", help=f"from: {', '.join(rows)}"
    )
    parser.add_argument("--iterations", type=positive, default=400, help="training steps (default: %(default)s)")
    parser.add_argument("--seeds", nargs="+", type=seed_number, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--dim", type=positive, default=16, help="width; the paper's 48 (default: %(default)s)")
    parser.add_argument(
        "--shorten", type=positive, default=8, help="divides the UNets' numbers of blocks (default: %(default)s)"
    )
    parser.add_argument("--patch", type=positive, default=64, help="side of the patches (default: %(default)s)")
    parser.add_argument("--batch", type=positive, default=8, help="patches per step (default: %(default)s)")
    parser.add_argument("--exposures", type=positive, default=4, help="blurred versions (default: %(default)s)")
    parser.add_argument("--threads", type=positive, help="threads of PyTorch (default: PyTorch's choice)")
    parser.add_argument("--runs", type=Path, default=Path("ablation_runs"), help="finished runs (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS / "ablation.md", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.patch % 16:
        parser.error(f"argument --patch: must be a multiple of 16, got {options.patch}")
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = Settings(**{name: getattr(options, name) for name in Settings.__annotations__})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        print(run_all(options.rows, options.seeds, settings, options.runs, options.output, device), end="")
    except DeepRFTv2Error as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
