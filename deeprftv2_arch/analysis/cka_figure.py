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
    """A line for every estimator, with the bootstrap intervals, over its features; dotted with other pairs' kernels."""
    figure = new_figure(HEIGHT, WIDTH)
    axes = figure.subplots()
    for index, (name, result) in enumerate(results.items()):
        levels = np.arange(len(result.cka)) + 0.04 * (index - (len(results) - 1) / 2)
        axes.plot(levels, result.cka, marker="o", markersize=3, linewidth=1, color=f"C{index}", label=name)
        axes.plot(levels, result.other, marker="x", markersize=3, linewidth=0.6, linestyle=":", color=f"C{index}")
        axes.vlines(levels, result.low, result.high, linewidth=1, color=f"C{index}")
    count = max(len(result.cka) for result in results.values())
    axes.set_xticks(range(count), [f"$r_{level}$" for level in range(count)])
    axes.set_ylabel("CKA with F(B)/F(S)")
    lowest = (float(np.nanmin([result.cka, result.low, result.other])) for result in results.values())
    axes.set_ylim(bottom=min(0.0, *lowest))
    axes.grid(axis="y", linewidth=0.3)
    axes.plot(
        [], [], marker="x", markersize=3, linewidth=0.6, linestyle=":", color="0.4", label="another pair's kernel"
    )
    axes.legend(frameon=False)
    return figure
