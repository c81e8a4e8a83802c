"""``python -m deeprftv2_arch restore``: images and videos in files."""

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprftv2_arch.commands.cpu_memory import keep_memory_on_cpu
from deeprftv2_arch.commands.network_arguments import add_network, chosen_checkpoint, restorer_of
from deeprftv2_arch.commands.outcome import is_first_on_machine
from deeprftv2_arch.common.stopping import stop_if_asked
from deeprftv2_arch.errors import LONGEST_MESSAGE, DeepRFTv2Error, OptionError, cut, escaped

if TYPE_CHECKING:
    from deeprftv2_arch.restoring.batch.outcome import Outcome, Tell
    from deeprftv2_arch.restoring.batch.plan import Plan
    from deeprftv2_arch.restoring.batch.shares import Share

FORMATS = ("png", "jpg", "webp", "tif")
FAILED = 1  # exit code where an input could not be restored

DESCRIPTION = """\
Restore images and videos with a trained network: deblur them, or enlarge them, whatever the checkpoint was trained
for.

  python -m deeprftv2_arch restore photo.jpg -o restored
  python -m deeprftv2_arch restore holiday 'scans/**/*.png' -o restored --compare
  python -m deeprftv2_arch restore clip.mov -o restored --checkpoint net_g_latest.pth

Without --checkpoint it is the network that comes with the package, for photographs shaken in the hand.

Inputs are images, videos, folders of them at any depth, and patterns. What lies in a folder lies below OUT as in the
folder; what matches 'scans/**/*.png', as in the folder scans. Inputs are never changed, nothing is written outside of
OUT, and what is in OUT already is not restored again, whatever --strip, --quality and the like say now; if it is the
result of another file or of another network, that is said. For a single file OUT may be the name of the result, such as
photo_sharp.png.

Images are PNG, JPEG, TIFF, WebP, BMP, GIF, JPEG 2000, and AVIF and HEIC with packages that are named where they are
missing. They become PNGs, which lose nothing (--format jpg for small files): photo.jpg becomes photo.png, or
photo.jpg.png if there is a photo.png or another photo.* beside it. 8 and 16 bits, grey, alpha, colour profiles, Exif
and XMP stay what they are, upright; --strip leaves out Exif and XMP. What cannot be kept is said in a line, also where
only the first frame or page is restored.

Videos (.mp4 .mov .mkv .webm .avi .mts .wmv and others) become MP4s: clip.mov becomes clip.mp4. Every frame keeps its
time; sounds, subtitles and colours stay what they are, and what cannot be kept is said in a line (docs/films.md). Their
sizes are even: an odd last row or column is there twice. They need the package av: pip install "deeprftv2_arch[video]".

What does not fit into the memory is restored in overlapping tiles. An input that cannot be restored does not stop the
others; all such are named at the end, and how many files of other kinds the folders hold.

All GPUs of the machine share the inputs, or those that are named (--device cuda:0,cuda:2). Further processes share them
as well: "torchrun --nproc_per_node 8 -m deeprftv2_arch restore ..." takes a GPU for each and tells of all together;
--shard 3/8 is the third of eight jobs of an array. They share the frames of a video, too, which the last of them puts
together. Each file is what one process makes of it. If one of several is killed, the file in its work is lost, and
said to be.

Exit code: 0 if all results are there, 1 if some inputs could not be restored, 2 if nothing was done because of a
mistake in the command line, the option file or the checkpoint. Ctrl-C (130) and SIGTERM (143) drop the image in
work, or the last frames of a video; the same command goes on.
"""


def add_restore(commands: Any) -> None:
    """Add ``restore`` to the commands of ``python -m deeprftv2_arch``."""
    parser = commands.add_parser(
        "restore",
        help="deblur or enlarge images and videos, folders of them, and patterns",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="an image, a video, a folder, or a pattern in quotes"
    )
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        type=_folder,
        metavar="OUT",
        help="folder of the results, or for one input the result's name",
    )
    add_network(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="of the restored images (default: that of OUT's name, or png, which loses nothing); JPEGs and WebPs have "
        "8 bits, and images with alpha become PNGs rather than JPEGs",
    )
    parser.add_argument(
        "--quality", type=int, default=95, metavar="N", help="of JPEGs and WebPs, 1 to 100 (default: %(default)s)"
    )
    parser.add_argument(
        "--strip",
        action="store_true",
        help="leave out what files say of people, places and times: Exif, XMP, tags of videos",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="restore also what is done, by whatever settings, and replace it"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="also write NAME_compare.png beside NAME.png (.jpg, .mp4): before and after, side by side",
    )
    parser.add_argument(
        "--save-kernels",
        action="store_true",
        help="also write NAME_kernels.png: the strongest blur kernels estimated in the middle of the image; of a "
        "video, those of the frame in the middle, with its whole name before them, such as clip.mp4_kernels.png",
    )
    tiles = parser.add_mutually_exclusive_group()
    tiles.add_argument(
        "--tile",
        nargs=2,
        type=int,
        metavar=("SIZE", "OVERLAP"),
        help="restore larger images in tiles of SIZE that share OVERLAP pixels, whatever the memory allows",
    )
    tiles.add_argument(
        "--memory-limit",
        metavar="BYTES",
        help="the most memory to take, such as 3G: of the process or of the GPU (default: 80 %% of what is free)",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        metavar="N",
        help="refuse images and frames that announce more pixels, which may be made to fill the memory (default: "
        "250,000,000)",
    )
    parser.add_argument(
        "--shard",
        metavar="K/N",
        help="one of N jobs that share the inputs: every N-th image, from the K-th on, and that part of every video",
    )
    parser.set_defaults(run=_restore)


def _folder(word: str) -> Path:
    if not word:  # as of a variable of the shell that is not set
        raise argparse.ArgumentTypeError("expected the name of a folder")
    return Path(word)


def _restore(args: argparse.Namespace) -> Iterator[str]:

    from deeprftv2_arch.restoring.batch.outcome import Refusal
    from deeprftv2_arch.restoring.batch.plan import plan
    from deeprftv2_arch.restoring.batch.shares import find_share, joined, of_all

    if not 1 <= args.quality <= 100:
        raise OptionError(f"--quality: expected a number in 1..100, got {args.quality}")
    share = find_share(args.shard)
    planned = plan(args.inputs, args.out, args.compare, args.save_kernels, args.format)
    mine = share.of(planned, films_as_wholes=args.overwrite)
    if share.local_rank is None:
        outcome = _restore_share(args, share, mine)
        yield from _told(args, outcome)
        _end_by(outcome)
        return
    with joined(share):
        found: Outcome | Refusal
        try:
            found = _restore_share(args, share, mine)
        except DeepRFTv2Error as error:
            found = Refusal(error, mine)
        whole = of_all(found, share)
        if whole is not None:
            yield from _told(args, whole)
    stop_if_asked()
    if whole is not None:
        _end_by(whole)


def _told(args: argparse.Namespace, outcome: "Outcome") -> Iterator[str]:
    for failure in outcome.failures:
        sys.stderr.write(f"{cut(escaped(failure), LONGEST_MESSAGE)}\n")
    if outcome.unmarked:
        sys.stderr.write(
            f"{args.out}: results that do not say of what they were made, and count as done: {outcome.unmarked}; "
            "--overwrite restores them anew\n"
        )
    yield f"{args.out}: {outcome}"


def _end_by(outcome: "Outcome") -> None:
    if outcome.stop is not None:
        raise outcome.stop
    if outcome.failures:
        raise SystemExit(FAILED)


def _restore_share(args: argparse.Namespace, share: "Share", plan: "Plan") -> "Outcome":
    """Restore what is this process's: itself, or with processes of its own for several GPUs, or under a launcher."""
    from deeprftv2_arch.restoring.batch.plan import is_video
    from deeprftv2_arch.restoring.batch.shares import Share
    from deeprftv2_arch.restoring.batch.supervising import supervise

    devices = share.devices(args.device)
    if not any(is_video(job.source) for job in plan.jobs):
        devices = devices[: max(1, len(plan.jobs))]
    if args.options is None:
        args.checkpoint = chosen_checkpoint(args)  # said once
    if share.local_rank is None and len(devices) == 1:
        return _restore_on(devices[0], True, args, plan, lambda *_: None)
    is_first = is_first_on_machine()  # whose bars stand for those of all
    works = [partial(_restore_on, device, is_first and number == 0, args) for number, device in enumerate(devices)]
    plans = [Share(number, len(devices)).of(plan, films_as_wholes=args.overwrite) for number in range(len(devices))]
    return supervise(works, plans, are_others_left=share.count > 1)


def _restore_on(device: str | None, progress: bool, args: argparse.Namespace, plan: "Plan", tell: "Tell") -> "Outcome":
    """Restore on one device, in this process."""
    from tqdm.contrib.logging import logging_redirect_tqdm

    from deeprftv2_arch.restoring.batch.restore_files import restore_files
    from deeprftv2_arch.restoring.image_files import MAX_PIXELS, silence_image_decoders
    from deeprftv2_arch.restoring.kernels import last_estimator

    args.device = device
    restorer = restorer_of(
        args,
        tile=args.tile and tuple(args.tile),
        memory_limit=args.memory_limit,
        max_pixels=MAX_PIXELS if args.max_pixels is None else args.max_pixels,
    )
    if args.memory_limit is None:  # with freed memory kept, a limit could not be promised
        keep_memory_on_cpu(restorer.device.type)
    if args.save_kernels:
        last_estimator(restorer.network)  # refused now rather than once for every image
    _make_folder(plan.folder)
    restorer.progress = progress
    silence_image_decoders()
    with logging_redirect_tqdm():  # so that no warning is written into a bar
        return restore_files(restorer, plan, plan.folder, args.overwrite, args.quality, args.strip, tell)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"{folder}: cannot be made: {error.strerror}; choose another folder") from error
