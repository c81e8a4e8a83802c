"""Figure 8: the CKA of every estimator's features with the ground-truth kernel."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from deeprftv2_arch.analysis.figure_files import in_print_style, new_figure
from deeprftv2_arch.analysis.kernel_cka import KernelCKA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 3.5, 2.5  # inches, of one column


@in_print_style
def cka_figure(results: Mapping[str, KernelCKA]) -> "Figure":
    """A line for every estimator, with the bootstrap intervals, over its features r_0, r_1, ..."""
    figure = new_figure(HEIGHT, WIDTH)
    axes = figure.subplots()
    for index, (name, result) in enumerate(results.items()):
        levels = np.arange(len(result.cka)) + 0.04 * (index - (len(results) - 1) / 2)
        axes.plot(levels, result.cka, marker="o", markersize=3, linewidth=1, color=f"C{index}", label=name)
        axes.vlines(levels, result.low, result.high, linewidth=1, color=f"C{index}")
    count = max(len(result.cka) for result in results.values())
    axes.set_xticks(range(count), [f"$r_{level}$" for level in range(count)])
    axes.set_ylabel("CKA with F(B)/F(S)")
    axes.set_ylim(bottom=min(0.0, *(float(result.low.min()) for result in results.values())))
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(frameon=False)
    return figure
