"""``python -m deeprftv2_arch analyze``: blur kernels in images and in features."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprftv2_arch.commands.cpu_memory import keep_memory_on_cpu
from deeprftv2_arch.commands.network_arguments import add_network, restorer_of
from deeprftv2_arch.errors import OptionError

if TYPE_CHECKING:
    from deeprftv2_arch.restoring.restorer import Restorer

DESCRIPTION = """\
Look at blur kernels: where they show in a blurred image, and what the network's kernel estimators make of them. Every
analysis writes its figures (.png, .pdf) and the arrays in them (.npz); no file is replaced. Needs Matplotlib: pip
install 'deeprftv2_arch[analysis]'.
"""


def add_analyze(commands: Any) -> None:
    """Add ``analyze`` to the commands of ``python -m deeprftv2_arch``."""
    parser = commands.add_parser(
        "analyze", help="show the blur kernels in images and in the network's features", description=DESCRIPTION
    )
    analyses = parser.add_subparsers(required=True, metavar="ANALYSIS")
    _add_fft_relu(analyses)
    _add_kernels(analyses)
    _add_cka(analyses)
    _add_turning(analyses)


def _add_fft_relu(analyses: Any) -> None:
    parser = analyses.add_parser(
        "fft-relu",
        help="what a ReLU in Fourier space makes of a blurred image (the paper's Figure 2)",
        description="Show F^-1(ReLU(F(B))) - B/2 of an image B, shifted cyclically by half, and the direction in "
        "which it is drawn out: that of the blur, where it is a straight motion. Needs no checkpoint.",
    )
    parser.add_argument("image", metavar="IMAGE", type=Path, help="a PNG or JPEG; of colours the luma is taken")
    _add_out(parser, "IMAGE_fft_relu here")
    parser.set_defaults(run=_fft_relu)


def _add_kernels(analyses: Any) -> None:
    parser = analyses.add_parser(
        "kernels",
        help="the kernels that every estimator applies to an image (Figures 6 and 7)",
        description="Show, for every unit and scale, features before and after their spectrum is multiplied by the "
        "estimated kernels, and these kernels in space and in frequency; beside them the ground-truth kernel F(B)/F(S) "
        "where there is a sharp image. One figure for every estimator: OUT_unit1_full.png, ...",
    )
    add_network(parser)
    parser.add_argument("blurred", metavar="BLURRED", type=Path, help="the image to restore")
    parser.add_argument("sharp", metavar="SHARP", type=Path, nargs="?", help="the same without blur")
    parser.add_argument(
        "--channels",
        metavar="N,N,...",
        help="which channels to show, counted from 0 (default: those four whose kernels have most energy)",
    )
    _add_side(parser)
    _add_out(parser, "BLURRED_kernels here")
    parser.set_defaults(run=_kernels)


def _add_cka(analyses: Any) -> None:
    parser = analyses.add_parser(
        "cka",
        help="how much of the true kernel is in the estimators' features (Figure 8)",
        description="Compare the features r_0, r_1, ... of every estimator with the ground-truth kernel F(B)/F(S) in "
        "Fourier space, by linear CKA over a set of pairs; with bootstrap intervals of 95 %% over the pairs, "
        "where there are at least two.",
    )
    add_network(parser)
    parser.add_argument(
        "--pairs",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder with the folders of blurred and of sharp images, paired by name",
    )
    parser.add_argument(
        "--blur", metavar="NAME", default="blur", help="that of the blurred ones (default: %(default)s)"
    )
    parser.add_argument(
        "--sharp", metavar="NAME", default="sharp", help="that of the sharp ones (default: %(default)s)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the bootstrap (default: %(default)s)")
    _add_side(parser)
    _add_out(parser, "kernel_cka here")
    parser.set_defaults(run=_cka)


def _add_turning(analyses: Any) -> None:
    parser = analyses.add_parser(
        "turning",
        help="whether the estimated kernels turn with a straight motion",
        description="Move a sharp image straight in several directions, and compare the frequencies that every "
        "estimator raises with those that the motion has weakened.",
    )
    add_network(parser)
    parser.add_argument("sharp", metavar="SHARP", type=Path, help="a sharp image")
    parser.add_argument(
        "--length", metavar="PIXELS", type=float, default=9.0, help="of the motion (default: %(default)s)"
    )
    parser.add_argument(
        "--motions", metavar="N", type=int, default=12, help="number of directions, of half a turn (default: 12)"
    )
    _add_side(parser)
    _add_out(parser, "SHARP_turning here")
    parser.set_defaults(run=_turning)


def _add_side(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--side",
        metavar="PIXELS",
        type=int,
        default=256,
        help="height and width of the middle of an image that is looked at (default: %(default)s)",
    )


def _add_out(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "-o",
        "--out",
        metavar="OUT",
        type=Path,
        help=f"name of the files without .png, .pdf or .npz; existing ones are not replaced (default: {default})",
    )


def _fft_relu(args: argparse.Namespace) -> Iterator[str]:
    import numpy as np

    from deeprftv2_arch.analysis.fft_relu import fft_relu_figure, fft_relu_pattern
    from deeprftv2_arch.analysis.figure_files import AnalysisFiles
    from deeprftv2_arch.analysis.images import luma, read_large_enough
    from deeprftv2_arch.analysis.principal_axis import SMALLEST, principal_axis

    files = AnalysisFiles(args.out or Path(f"{args.image.stem}_fft_relu"))
    image = read_large_enough(args.image, SMALLEST)
    pattern = fft_relu_pattern(luma(image))
    axis = principal_axis(pattern)
    files.write(
        {"": fft_relu_figure(image, pattern, axis)},
        {"pattern": pattern, "angle": np.array(axis.angle), "roundness": np.array(axis.roundness)},
    )
    yield f"{files}; principal axis {axis.angle:.0f} degrees, roundness {axis.roundness:.2f}"


def _kernels(args: argparse.Namespace) -> Iterator[str]:
    channels = None if args.channels is None else _numbers(args.channels)

    import numpy as np

    from deeprftv2_arch.analysis.figure_files import AnalysisFiles
    from deeprftv2_arch.analysis.images import read_large_enough, read_pair
    from deeprftv2_arch.analysis.kernel_cka import SMALLEST
    from deeprftv2_arch.analysis.kernels import estimator_kernels, estimator_names, kernels_figure

    _check_side(args.side, SMALLEST)
    restorer = _restorer_of(args)
    files = AnalysisFiles(args.out or Path(f"{args.blurred.stem}_kernels"), estimator_names(restorer.network))
    if args.sharp is None:
        blurred, sharp = read_large_enough(args.blurred, SMALLEST), None
    else:
        blurred, sharp = read_pair(args.blurred, args.sharp, SMALLEST)
    results = estimator_kernels(restorer, blurred, sharp, channels, args.side)
    arrays = {
        f"{name}_{field}": np.asarray(value)
        for name, result in results.items()
        for field, value in vars(result).items()
        if value is not None
    }
    files.write({name: kernels_figure(name.replace("_", ", "), result) for name, result in results.items()}, arrays)
    yield str(files)


def _cka(args: argparse.Namespace) -> Iterator[str]:
    if args.seed < 0:
        raise OptionError(f"--seed {args.seed}: take a number from 0 on")

    from deeprftv2_arch.analysis.figure_files import AnalysisFiles
    from deeprftv2_arch.analysis.images import pairs_in
    from deeprftv2_arch.analysis.kernel_cka import SMALLEST, cka_figure, kernel_cka
    from deeprftv2_arch.analysis.kernels import estimator_names

    _check_side(args.side, SMALLEST)
    files = AnalysisFiles(args.out or Path("kernel_cka"))
    pairs = pairs_in(args.pairs / args.blur, args.pairs / args.sharp)
    restorer = _restorer_of(args)
    estimator_names(restorer.network)  # refused now rather than after the first image
    results = kernel_cka(restorer, pairs, args.side, seed=args.seed)
    arrays = {f"{name}_{field}": value for name, result in results.items() for field, value in vars(result).items()}
    files.write({"": cka_figure(results)}, arrays)
    for name, result in results.items():
        for level, (cka, low, high, other) in enumerate(
            zip(result.cka, result.low, result.high, result.other, strict=True)
        ):
            interval = f"{low:.3f} to {high:.3f}" if len(pairs) > 1 else "one pair has no interval"
            yield f"{name} r_{level}: {cka:.3f} ({interval}); with another pair's kernel {other:.3f}"
    yield f"{files}; {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'}"


def _turning(args: argparse.Namespace) -> Iterator[str]:
    if not 1 <= args.length <= 100:
        raise OptionError(f"--length {args.length:g}: take 1 to 100 pixels")
    if not 4 <= args.motions <= 180:
        raise OptionError(f"--motions {args.motions}: take 4 to 180 directions")

    from deeprftv2_arch.analysis.figure_files import AnalysisFiles
    from deeprftv2_arch.analysis.images import read_large_enough
    from deeprftv2_arch.analysis.kernel_cka import SMALLEST
    from deeprftv2_arch.analysis.kernels import estimator_names
    from deeprftv2_arch.analysis.turning import turning_figure, turning_kernels

    _check_side(args.side, SMALLEST)
    files = AnalysisFiles(args.out or Path(f"{args.sharp.stem}_turning"))
    sharp = read_large_enough(args.sharp, SMALLEST)
    restorer = _restorer_of(args)
    estimator_names(restorer.network)  # refused now rather than after the first image
    results = turning_kernels(restorer, sharp, args.length, args.motions, args.side)
    arrays = {f"{name}_{field}": value for name, result in results.items() for field, value in vars(result).items()}
    files.write({"": turning_figure(results)}, arrays)
    for name, result in results.items():
        own = result.resemblance.diagonal().mean()
        yield (
            f"{name}: resembles the inverse of the motion by {own:.2f}, and is {result.errors.mean():.0f} degrees off "
            "(45: knows nothing of it)"
        )
    yield str(files)


def _restorer_of(args: argparse.Namespace) -> "Restorer":
    restorer = restorer_of(args)
    keep_memory_on_cpu(restorer.device.type)
    return restorer


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise OptionError(f"--channels {text}: write numbers with commas between them, such as 0,3,7") from error


def _check_side(side: int, smallest: int) -> None:
    if side < smallest:
        raise OptionError(f"--side {side}: at least {smallest} pixels show a kernel")
