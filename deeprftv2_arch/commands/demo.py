"""``python -m deeprftv2_arch demo``: a page in the browser."""

import argparse
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from deeprftv2_arch.commands.network_arguments import add_network, restorer_of
from deeprftv2_arch.errors import OptionError

MAX_PIXELS = 50_000_000  # above most cameras'; an image keeps the page busy for as long as it takes

DESCRIPTION = """\
Open a page in the browser on which to try a trained network: drop an image, see it before and after, and the kernels
that the network estimates.

  python -m deeprftv2_arch demo --checkpoint net_g_latest.pth

The page is seen on this machine alone, unless --host says otherwise; there is no password. It works without the
internet. Images are restored one at a time, kept for about an hour, and gone when the command ends, by Ctrl-C.
"""


def add_demo(commands: Any) -> None:
    """Add ``demo`` to the commands of ``python -m deeprftv2_arch``."""
    parser = commands.add_parser(
        "demo",
        help="try a network on a page in the browser",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_network(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0: for everybody who can reach this machine (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on (default: the first free from 7860)")
    parser.add_argument(
        "--max-upload", default="100M", metavar="BYTES", help="refuse larger files, such as 20M (default: %(default)s)"
    )
    parser.add_argument(
        "--max-kept",
        default="2G",
        metavar="BYTES",
        help="keep images of no more than so many bytes together, the latest ones (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names of this machine under which the page may be opened, beside localhost, its own name and its "
        "addresses; any other is refused, since it may be another page's",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help=f"refuse images of more pixels (default: {MAX_PIXELS:,})",
    )
    parser.add_argument(
        "--memory-limit",
        metavar="BYTES",
        help="the most memory to take, such as 3G: of the process or of the GPU (default: 80 %% of what is free)",
    )
    parser.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> Iterator[str]:
    if args.max_pixels < 1:
        raise OptionError(f"--max-pixels: expected a number above 0, got {args.max_pixels}")
    if args.port is not None and not 1 <= args.port <= 65535:
        raise OptionError(f"--port: expected a number in 1..65535, got {args.port}")

    from deeprftv2_arch.demo.page import served
    from deeprftv2_arch.restoring.image_files import silence_image_decoders
    from deeprftv2_arch.restoring.memory import parse_bytes

    max_upload, max_kept = parse_bytes(args.max_upload), parse_bytes(args.max_kept)
    if max_kept < max_upload:
        raise OptionError(
            f"--max-kept: {args.max_kept} is less than one image may have, --max-upload {args.max_upload}"
        )
    restorer = restorer_of(
        args,
        memory_limit=args.memory_limit and parse_bytes(args.memory_limit),
        max_pixels=args.max_pixels,
    )
    silence_image_decoders()
    for name in ("SIGTERM", "SIGHUP"):  # so that images are removed then, too; Windows lacks the latter
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    page = served(restorer, args.host, args.port, max_upload, max_kept, args.allow_host)
    with suppress(KeyboardInterrupt), page as address:
        yield f"{address} shows the page; Ctrl-C ends it"
        while True:
            time.sleep(1)
    os._exit(0)  # at once: PyTorch aborts the process if the interpreter ends while it works on an image
