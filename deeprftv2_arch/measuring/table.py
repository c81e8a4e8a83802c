"""One table of figures, as Markdown, LaTeX or CSV: a row for every network, a column for every test set."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from deeprftv2_arch.common.atomic import write_atomically
from deeprftv2_arch.errors import OptionError

Figures = Mapping[str, float | None]  # by the name of the metric

FORMATS = (".md", ".csv", ".tex")
OF_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        title: What it is of.
        figures: By the titles of the columns. A metric that is not there becomes a dash; one that is None could not be
            measured and becomes "n/a".
        costs: What stands before the figures, by the titles of these columns.
    """

    title: str
    figures: Mapping[str, Figures | None] = field(default_factory=dict)
    costs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of figures.

    Attributes:
        metrics: Names of the figures in every cell.
        columns: Titles of the columns that have them.
        rows: What they are of.
        costs: Titles of the columns before those.
    """

    metrics: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Row]
    costs: Sequence[str] = ()

    def as_markdown(self) -> str:
        """Return the table without an end of line."""
        lines = [[cell.replace("|", r"\|") for cell in line] for line in self._cells()]
        header, *rows = (f"| {' | '.join(line)} |" for line in lines)
        return "\n".join([header, "|---" * len(lines[0]) + "|", *rows])

    def as_latex(self) -> str:
        """Return a ``tabular``, which needs no package."""
        header, *rows = ([_escaped(cell) for cell in line] for line in self._cells())
        body = [f"{' & '.join(line)} \\\\" for line in rows]
        lines = [
            f"\\begin{{tabular}}{{l{'c' * (len(header) - 1)}}}",
            r"\hline",
            f"{' & '.join(header)} \\\\",
            r"\hline",
        ]
        return "\n".join([*lines, *body, r"\hline", r"\end{tabular}"])

    def as_csv(self) -> str:
        """Return a line for every row, with all digits and a column for every metric of a test set."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        figures = [(column, metric) for column in self.columns for metric in self.metrics]
        writer.writerow(["network", *self.costs, *(f"{column} {metric}" for column, metric in figures)])
        for row in self.rows:
            cells = ((row.figures.get(column) or {}, metric) for column, metric in figures)
            values = ["" if metric not in found else _exactly(found[metric]) for found, metric in cells]
            writer.writerow([row.title, *(row.costs.get(cost, "") for cost in self.costs), *values])
        return text.getvalue().rstrip("\n")

    def _cells(self) -> list[list[str]]:
        lines = [[" / ".join(self.metrics), *self.costs, *self.columns]]
        for row in self.rows:
            found = [row.figures.get(column) or {} for column in self.columns]
            cells = (" / ".join(_rounded(figures, metric) for metric in self.metrics) for figures in found)
            lines.append([row.title, *(row.costs.get(cost, "-") for cost in self.costs), *cells])
        return lines


def check_table_file(path: Path) -> None:
    """Refuse a file for a table that is of none of its formats, or whose folder is not there.

    Raises:
        OptionError: It is so.
    """
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"--table {path}: end the name in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if not path.absolute().parent.is_dir():
        raise OptionError(f"--table {path}: there is no folder {path.absolute().parent}; make it first")


def write_table(table: Table, path: Path) -> None:
    """Write a table in the format that the end of its file's name says.

    Raises:
        WriteError: It cannot be written.
    """
    write = {".md": table.as_markdown, ".csv": table.as_csv, ".tex": table.as_latex}[path.suffix.lower()]
    write_atomically(path, f"{write()}\n".encode(), "the table is printed")


def _rounded(figures: Figures, metric: str) -> str:
    """Return a value with two digits for what is in dB, four for what is around 1."""
    if metric not in figures:
        return "-"
    value = figures[metric]
    if value is None:
        return "n/a"
    return f"{value:.2f}" if abs(value) >= 2 else f"{value:.4f}"


def _exactly(value: float | None) -> str:
    return "n/a" if value is None else repr(value)


def _escaped(text: str) -> str:
    return "".join(OF_LATEX.get(char, char) for char in text)
