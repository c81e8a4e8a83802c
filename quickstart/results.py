"""What the trained network does to the held-out photographs, as a table."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import mean

from quickstart.task import Words


@dataclass(frozen=True)
class Result:
    """One held-out photograph, without the network and after it: PSNR in dB and SSIM against the true one.

    Seconds are those of the network alone. ``psnr_shipped`` is that of the network that comes with the package;
    None where there is none for the task.
    """

    photograph: str
    psnr_before: float
    psnr_after: float
    ssim_before: float
    ssim_after: float
    seconds: float
    psnr_shipped: float | None = None

    @property
    def gain(self) -> float:
        """What the network adds to the PSNR, in dB."""
        return self.psnr_after - self.psnr_before


def average(results: list[Result]) -> Result:
    """Return the mean of every metric over the photographs."""
    measured = [asdict(result) for result in results]
    names = [name for name, value in measured[0].items() if name != "photograph" and value is not None]
    return Result(photograph="mean", **{name: mean(one[name] for one in measured) for name in names})


def markdown_table(results: list[Result], words: Words) -> str:
    """Write the results and their mean as a Markdown table."""
    rows = [*results, average(results)]
    return table([row.photograph for row in rows], metric_columns(rows, words))


def metric_columns(rows: list[Result], words: Words) -> dict[str, list[str]]:
    """Return the metrics of a table by their headings."""
    shipped = [row.psnr_shipped for row in rows if row.psnr_shipped is not None]
    return {
        f"PSNR {words.before}": [f"{row.psnr_before:.2f} dB" for row in rows],
        f"PSNR {words.after}": [f"{row.psnr_after:.2f} dB" for row in rows],
        "gain": [f"{row.gain:+.2f} dB" for row in rows],
        f"SSIM {words.before}": [f"{row.ssim_before:.4f}" for row in rows],
        f"SSIM {words.after}": [f"{row.ssim_after:.4f}" for row in rows],
        "seconds": [f"{row.seconds:.2f}" for row in rows],
        **({"shipped network": [f"{value:.2f} dB" for value in shipped]} if shipped else {}),
    }


def table(images: list[str], columns: dict[str, list[str]]) -> str:
    """Write a Markdown table with a row for every image."""
    widths = [max(map(len, (heading, *cells))) for heading, cells in columns.items()]
    first = max(map(len, ("image", *images)))

    def line(name: str, cells: Iterable[str]) -> str:
        return f"| {name:<{first}} | " + " | ".join(map(str.rjust, cells, widths)) + " |\n"

    rule = "|" + "-" * (first + 2) + "|" + "".join("-" * (width + 1) + ":|" for width in widths) + "\n"
    body = zip(images, zip(*columns.values(), strict=True), strict=True)
    return line("image", columns) + rule + "".join(line(name, cells) for name, cells in body)


def to_json(results: list[Result], words: Words) -> str:
    """Write the results and their mean as JSON, unrounded."""
    rows = [
        {
            "photograph": row.photograph,
            f"{words.before}_psnr": row.psnr_before,
            f"{words.after}_psnr": row.psnr_after,
            f"{words.before}_ssim": row.ssim_before,
            f"{words.after}_ssim": row.ssim_after,
            "seconds": row.seconds,
            "gain": row.gain,
            **({} if row.psnr_shipped is None else {"shipped_psnr": row.psnr_shipped}),
        }
        for row in [*results, average(results)]
    ]
    return json.dumps({"photographs": rows[:-1], "mean": rows[-1]}, indent=2) + "\n"
