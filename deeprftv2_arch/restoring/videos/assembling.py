"""A film put together from the blocks in which its frames were restored, with all that goes with them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from operator import gt
from pathlib import Path

import av
import av.error
from av.container import OutputContainer

from deeprftv2_arch.common.atomic import written_whole
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.marks import Mark, mark_film
from deeprftv2_arch.restoring.videos.companions import AnyPacket, Companions, described, in_list_of_phones
from deeprftv2_arch.restoring.videos.encoding import io_errors
from deeprftv2_arch.restoring.videos.reading import Video, open_film

FINEST_CLOCK = 2**31 - 1  # units of a second, of the lengths of an MP4


def assemble(
    path: Path,
    film: Video,
    blocks: Sequence[Path],
    times: Sequence[tuple[int, int]],
    strip: bool,
    mark: Mark | None = None,
) -> list[str]:
    """Write a film, which appears under its name when all that is in it was found in the file.

    Args:
        path: The file; one of this name is replaced.
        film: The original.
        blocks: Files with the encoded frames, one after the other.
        times: When each frame begins and for how long it is shown, in units of the original's time base.
        strip: Whether to leave out what the original says of people, places and times.
        mark: Of what and by what it was made, if it is to say so.

    Returns:
        What of the original is not kept; a phrase each.

    Raises:
        DataError: A block lacks frames, or what was written cannot be read again.
        WriteError: It cannot be written.
    """
    with written_whole(path) as temporary, io_errors(path):
        try:
            losses = _written(temporary, path, film, blocks, times, strip, copies=True)
        except (DataError, av.error.InvalidDataError, av.error.ArgumentError):
            # Of damaged sound, such as AC-3 without a header, no MP4 can be made, which it may tell at its end.
            losses = _written(temporary, path, film, blocks, times, strip, copies=False)
        if mark is not None:
            mark_film(temporary, mark)
    return losses


def _written(
    temporary: Path,
    path: Path,
    film: Video,
    blocks: Sequence[Path],
    times: Sequence[tuple[int, int]],
    strip: bool,
    copies: bool,
) -> list[str]:
    """Write a film into a temporary file and look at it; return what is not kept.

    Args:
        temporary: The file.
        path: The name that it is to get.
        film: As for :func:`assemble`.
        blocks: As for :func:`assemble`.
        times: As for :func:`assemble`.
        strip: As for :func:`assemble`.
        copies: Whether sound is copied as it is where an MP4 holds that kind.

    Raises:
        DataError: What is in the file is not what was fed.
        av.error.FFmpegError: It cannot be written.
    """
    with open_film(film.path, film.kind) as source:
        # Lengths in the movie's own units begin and end the streams: as fine as the times of its frames.
        options = {"movie_timescale": str(min(FINEST_CLOCK, film.time_base.denominator * _factor(film.time_base)))}
        if in_list_of_phones(source):
            options["movflags"] = "+use_metadata_tags"
        with av.open(str(temporary.absolute()), "w", format="mp4", container_options=options) as target:
            pictures = _add_pictures(target, film, blocks[0])
            companions = Companions(source, film.index, film.offset, target, strip, copies)
            written = _mux(target, pictures, companions, film, blocks, times)
        wanted = {} if strip else described(source)
    return companions.losses_at_end() + _require_whole(temporary, path, film, written, times, wanted)


def _factor(time_base: Fraction) -> int:
    """Return by what FFmpeg multiplies units of time that are coarse."""
    factor = 1
    while time_base.denominator * factor < 10_000:
        factor *= 2
    return factor


def _add_pictures(target: OutputContainer, film: Video, block: Path) -> av.VideoStream:
    with av.open(str(block.absolute())) as first:
        pictures: av.VideoStream = target.add_stream_from_template(first.streams.video[0], opaque=True)
    pictures.time_base = film.time_base
    if film.colours.is_deep:
        pictures.codec_context.codec_tag = "hvc1"  # without which Apple's players show nothing
    return pictures


def _mux(
    target: OutputContainer,
    pictures: av.VideoStream,
    companions: Companions,
    film: Video,
    blocks: Sequence[Path],
    times: Sequence[tuple[int, int]],
) -> Counter[int]:
    """Write all streams in the order of time; return how many packets of each."""
    written: Counter[int] = Counter()

    def put_picture(packet: AnyPacket) -> None:
        target.mux(packet)
        written[0] += 1

    def put_other(packet: AnyPacket) -> None:
        index = packet.stream_index
        try:
            target.mux(packet)
        except (av.error.InvalidDataError, av.error.ArgumentError):  # no such sound, or of a time that was before
            companions.refused += 1
        else:
            written[index] += 1

    others = companions.packets()
    waiting = next(others, None)
    for packet in _pictures(blocks, times, film.time_base):
        packet.stream = pictures
        while waiting is not None and waiting[0] <= (packet.dts or 0) * film.time_base:
            put_other(waiting[1])
            waiting = next(others, None)
        put_picture(packet)
    while waiting is not None:
        put_other(waiting[1])
        waiting = next(others, None)
    return written


def _pictures(blocks: Sequence[Path], times: Sequence[tuple[int, int]], time_base: Fraction) -> Iterator[AnyPacket]:
    """Yield the encoded frames of all blocks, each at its time."""
    number = 0
    for block in blocks:
        with av.open(str(block.absolute())) as container:
            for packet in container.demux(video=0):
                if not packet.size:
                    continue
                if number == len(times):
                    raise DataError(f"{block}: holds more frames than there are; remove it")
                packet.pts = packet.dts = times[number][0]
                packet.duration, packet.time_base = times[number][1], time_base
                number += 1
                yield packet
    if number < len(times):
        raise DataError(f"{block}: the blocks hold {number} frames of {len(times)}; remove them")


def _require_whole(
    written: Path,
    path: Path,
    film: Video,
    numbers: Counter[int],
    times: Sequence[tuple[int, int]],
    wanted: dict[str, str],
) -> list[str]:
    """Read all that was written, and compare it with what was fed; return what of the metadata is not there."""
    found: Counter[int] = Counter()
    starts = []
    kept: dict[str, str] = {}
    with suppress(av.error.FFmpegError), av.open(str(written.absolute()), metadata_errors="replace") as container:
        kept = described(container)
        for packet in container.demux([stream for stream in container.streams if stream.type != "data"]):
            found[packet.stream_index] += packet.size > 0
            if packet.stream_index == 0 and packet.size:
                starts.append((packet.pts or 0) * packet.time_base / film.time_base)
    if starts != [start for start, _ in times]:
        raise DataError(
            f"{path}: of {len(times)} frames that were written, {len(starts)} are in the file, or at other times; is "
            "there room on the disk?"
        )
    # A stream in which there is nothing is not written.
    packets, packets_found = ([count[index] for index in sorted(count) if count[index]] for count in (numbers, found))
    if len(packets_found) < len(packets) or any(map(gt, packets, packets_found)):
        raise DataError(f"{path}: not all of the sound that was written is in the file; is there room on the disk?")
    lost = sorted(key for key in wanted if key not in kept)
    return [f"of what it says of itself, an MP4 cannot hold {', '.join(lost)}"] if lost else []
