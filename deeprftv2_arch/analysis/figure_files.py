"""Figures for print, and the files of an analysis."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, cast

import numpy as np
from numpy.typing import NDArray

from deeprftv2_arch.common.atomic import written_whole
from deeprftv2_arch.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawn = ParamSpec("Drawn")

SUFFIXES = (".png", ".pdf", ".npz")
WIDTH = 7.1  # inches, of a page with two columns
DOTS_PER_INCH = {".png": 110, ".pdf": 300}  # of pages; in print, of the images in a figure
# Of print: letters of 8 points, and text that stays text in a PDF.
STYLE: Any = {"font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "axes.linewidth": 0.6, "pdf.fonttype": 42}


class AnalysisFiles:
    """The files of an analysis: BASE.npz with the arrays, and figures BASE.png and BASE.pdf, or BASE_NAME.png and .pdf.

    Args:
        base: Where they go; .png, .pdf or .npz at its end is left out.
        figures: Names of the figures; the empty one for a single figure.

    Raises:
        OptionError: Matplotlib is missing, there is no such folder, or one of the files exists.
    """

    def __init__(self, base: Path, figures: tuple[str, ...] = ("",)) -> None:
        _require_matplotlib()
        self.base = base.with_suffix("") if base.suffix.lower() in SUFFIXES else base
        self.arrays = self._path("", ".npz")
        if not self.base.parent.is_dir():
            raise OptionError(f"-o {base}: there is no folder {self.base.parent}; make it first")
        for path in [self.arrays, *(self._path(name, suffix) for name in figures for suffix in SUFFIXES[:2])]:
            if path.exists():
                raise OptionError(f"{path}: exists already; remove it or choose another name by -o")

    def _path(self, name: str, suffix: str) -> Path:
        return self.base.with_name(self.base.name + (f"_{name}" if name else "") + suffix)

    def write(self, figures: Mapping[str, "Figure"], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write figures by name, and arrays by theirs.

        Raises:
            WriteError: They cannot be written.
        """
        import matplotlib

        buffers: dict[Path, BytesIO] = {self.arrays: BytesIO()}
        np.savez_compressed(buffers[self.arrays], **cast(dict[str, Any], arrays))
        for name, figure in figures.items():
            for suffix in SUFFIXES[:2]:
                buffer = buffers[self._path(name, suffix)] = BytesIO()
                with matplotlib.rc_context(STYLE):
                    figure.savefig(buffer, format=suffix[1:], dpi=DOTS_PER_INCH[suffix])
        with ExitStack() as complete:  # all of them get their names, or none
            for path, buffer in buffers.items():
                complete.enter_context(written_whole(path, "choose another by -o")).write_bytes(buffer.getvalue())

    def __str__(self) -> str:
        return f"{self.base}: figures (.png, .pdf) and arrays (.npz)"


def in_print_style(draw: Callable[Drawn, "Figure"]) -> Callable[Drawn, "Figure"]:
    """Decorate a function that draws a figure: it draws in STYLE, and raises OptionError without Matplotlib."""

    @wraps(draw)
    def drawn(*args: Drawn.args, **kwargs: Drawn.kwargs) -> "Figure":
        _require_matplotlib()
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def new_figure(height: float, width: float = WIDTH) -> "Figure":
    """Make an empty figure of that many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise OptionError("figures need Matplotlib; install it: pip install 'deeprftv2_arch[analysis]'") from error
