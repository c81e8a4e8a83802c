"""Films in files, read frame by frame; FFmpeg's libraries decode them, by way of PyAV."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.image_files import MAX_PIXELS, require_few_pixels, require_file
from deeprftv2_arch.restoring.videos.colours import Colours
from deeprftv2_arch.restoring.videos.containers import ends_torn, require_whole_video
from deeprftv2_arch.restoring.videos.hdr10 import Hdr10
from deeprftv2_arch.restoring.videos.orientation import Orientation
from deeprftv2_arch.restoring.videos.side_data import side_data

LEAST_SHARE = 0.5  # of the frames that a file holds; one of which fewer can be decoded is damaged
LONGEST_STEP_BACK = Fraction(1)  # second; where times go back further, the clock of the film has been set anew
CLOCK_OF_SENDER = ("mpegts", "mpeg")  # kinds whose times begin anywhere
USUAL_RATE, HIGHEST_RATE = Fraction(25), Fraction(480)  # frames in a second
WITH_ALPHA = ("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya", "ayuv")  # begin the names of formats
# Codecs of which every packet becomes a frame, unless it refers to frames that are not there.
ONE_BY_ONE = ("h264", "hevc", "mpeg2video")
# What comes with single frames and is not written, as FFmpeg calls it.
LOST_WITH_FRAMES = {
    "A53_CC": "its closed captions are left out",
    "DYNAMIC_HDR_PLUS": "its HDR10+ metadata are left out",
    "DOVI_RPU_BUFFER": "its Dolby Vision metadata are left out",
}


def open_film(path: Path, kind: str | None = None) -> "av.container.InputContainer":
    """Open a film for reading, and nothing but this file, whatever it refers to or its name looks like.

    Raises:
        DataError: It cannot be opened.
    """
    try:
        return av.open(
            # An absolute path, since "concat:a" or "http:a" as the name of a file means something else to FFmpeg.
            str(path.absolute()),
            format=kind,
            container_options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Frame:
    """A frame of a film.

    Attributes:
        number: From 0.
        start: When it is shown, in units of the film's time base.
        duration: For how long; 0 if the file does not say.
        picture: As it is decoded.
        film: From which it is.
    """

    number: int
    start: int
    duration: int
    picture: av.VideoFrame
    film: "Video"

    def image(self) -> AnyImage:
        """Return it as an upright image (H, W, 3) in RGB, uint16."""
        return self.film.orientation.upright(self.film.colours.to_rgb(self.picture))


class Video:
    """A film in a file: what is known of it, and its frames.

    Args:
        path: A file of a kind in ``containers.KINDS``.
        max_pixels: The most pixels that its frames may have; otherwise it is refused and not decoded.

    Attributes:
        path: The file.
        kind: The name of the demuxer for it.
        index: Of its pictures, among its streams.
        colours: What the numbers of the frames mean.
        orientation: How frames are turned upright.
        height: Of the upright frames.
        width: Of the upright frames.
        aspect: Width of a pixel of an upright frame over its height.
        time_base: The unit of all times of its pictures, in seconds.
        offset: What is subtracted from the times in the file, in seconds, so that the first is 0 where they begin
            anywhere or below 0.
        rate: About how many frames there are in a second.
        hdr10: What it says of the screen on which it was graded, if it does.
        losses: What is not kept of its pictures; a phrase each.

    Raises:
        DataError: The file is missing, no film, truncated, or its frames announce too many pixels.
    """

    def __init__(self, path: Path, max_pixels: int = MAX_PIXELS) -> None:
        require_file(path)
        try:
            self.kind = require_whole_video(path)
            is_torn = ends_torn(path, self.kind)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        self.path = path
        with open_film(path, self.kind) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, av.VideoStream) or stream.codec_context is None or stream.time_base is None:
                raise DataError(f"{path}: has no pictures that can be decoded")
            require_few_pixels(path, stream.height, stream.width, max_pixels)
            self.index = stream.index
            self.time_base = stream.time_base
            self.rate = Fraction(stream.average_rate or USUAL_RATE)
            self.offset = _start(container) if self.kind in CLOCK_OF_SENDER else Fraction(0)
            self._announced = stream.frames
            first = next(_Decoder(path, container, stream).pictures(), None)
            if first is None:
                raise self._damaged(0, self.count())
            if (first.pts or 0) * self.time_base < self.offset:  # before which an MP4 shows nothing
                self.offset = (first.pts or 0) * self.time_base
            self._stored_size = first.height, first.width
            self.colours = Colours.of(first)
            self.orientation = Orientation.of(first)
            self.height, self.width = self.orientation.size(*self._stored_size)
            self.aspect = self.orientation.aspect(Fraction(stream.sample_aspect_ratio or 1))
            self.hdr10 = Hdr10.of(first)
            self.losses = ["it ends in the middle of a packet, and what followed is missing"] * is_torn
            self.losses += _losses(stream, first, self.colours, self.orientation)
        if self.rate > HIGHEST_RATE:  # what recorders of browsers are taken for
            times = self._packet_times()
            self.rate = Fraction(len(times)) / (times[-1] - times[0] or 1)

    def count(self) -> int:
        """Return how many frames the file holds, without decoding them."""
        return self._announced if self.kind == "mov" and self._announced else len(self._packet_times())

    def _packet_times(self) -> list[Fraction]:
        """Return the times of all frames, as far as the file can be read, sorted, without decoding them."""
        times: list[Fraction] = []
        with open_film(self.path, self.kind) as container, suppress(av.error.FFmpegError):
            packets = container.demux(container.streams[self.index])
            times.extend((packet.dts or packet.pts or 0) * self.time_base for packet in packets if packet.size)
        return sorted(times)

    def frames(self) -> Iterator[Frame]:
        """Yield every frame.

        What cannot be decoded is left out. At the end ``losses`` says how many frames that were.

        Raises:
            DataError: There are none, far fewer than the file holds, their size changes, or their times go back.
        """
        shift = round(self.offset / self.time_base)
        number, start, end = 0, None, 0
        with open_film(self.path, self.kind) as container:
            decoder = _Decoder(self.path, container, container.streams[self.index])
            for picture in decoder.pictures():
                if (picture.height, picture.width) != self._stored_size:
                    stored_height, stored_width = self._stored_size
                    raise DataError(
                        f"{self.path}: frame {number} is {picture.width}x{picture.height} and not "
                        f"{stored_width}x{stored_height}; cut the film where its size changes"
                    )
                start = self._start_of(number, end if picture.pts is None else picture.pts - shift, start)
                duration = picture.duration or 0
                yield Frame(number, start, duration, picture, self)
                number, end = number + 1, start + max(1, duration)
        if number < max(1, LEAST_SHARE * decoder.packets):
            raise self._damaged(number, decoder.packets)
        damaged = decoder.damaged + (decoder.packets - decoder.failed - number if decoder.name in ONE_BY_ONE else 0)
        found = [f"damaged in the file: {damaged} of its {decoder.packets} frames"] * (damaged > 0)
        found += [phrase for name, phrase in LOST_WITH_FRAMES.items() if name in decoder.side_data]
        self.losses += [phrase for phrase in found if phrase not in self.losses]

    def _start_of(self, number: int, start: int, before: int | None) -> int:
        """Return when a frame is shown: as the file says, if that is after the frame before."""
        if before is None or start > before:
            return start
        if (before - start) * self.time_base > LONGEST_STEP_BACK:
            raise DataError(
                f"{self.path}: the time goes back at frame {number}; cut the film there, or copy it with ffmpeg -c copy"
            )
        return before + 1

    def _damaged(self, number: int, held: int) -> DataError:
        return DataError(
            f"{self.path}: is damaged, only {number} of {held} frames can be decoded; encode it anew if it plays "
            "elsewhere"
        )


class _Decoder:
    """Decodes the pictures of an open film.

    Attributes:
        name: Of the codec.
        packets: How many there were.
        failed: How many of them could not be decoded.
        damaged: The same, with those that were decoded, but are not whole.
        side_data: The names of what came with them.
    """

    def __init__(self, path: Path, container: "av.container.InputContainer", stream: av.VideoStream) -> None:
        self.path = path
        self.container = container
        self.stream = stream
        self.stream.thread_type = "AUTO"
        self.name = stream.codec_context.codec.canonical_name
        self.packets = self.failed = self.damaged = 0
        self.side_data: set[str] = set()

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Yield the pictures.

        Raises:
            DataError: The file cannot be read any further.
        """
        try:
            for packet in self.container.demux(self.stream):
                if packet.size == 0 and packet.dts is not None:  # a frame that was dropped; at the end there is no time
                    continue
                self.packets += packet.size > 0 and not packet.is_discard
                try:
                    pictures = packet.decode()
                except av.error.FFmpegError:
                    self.failed += 1
                    self.damaged += 1
                    continue
                for picture in pictures:
                    self.damaged += picture.is_corrupt
                    self.side_data |= side_data(picture).keys()
                    yield picture
        except av.error.FFmpegError as error:
            raise DataError(f"{self.path}: cannot be read to its end: {error.strerror}; copy it anew") from error


def _start(container: "av.container.InputContainer") -> Fraction:
    """Return when the first of all streams begins, in seconds."""
    return min(
        (
            stream.start_time * stream.time_base
            for stream in container.streams
            if stream.start_time is not None and stream.time_base
        ),
        default=Fraction(0),
    )


def _losses(stream: av.VideoStream, first: av.VideoFrame, colours: Colours, orientation: Orientation) -> Iterator[str]:
    """Yield what is not kept of a film's pictures."""
    # Decoders of VP8 and VP9 leave transparency out.
    if first.format.name.startswith(WITH_ALPHA) or stream.metadata.get("alpha_mode") == "1":
        yield "its transparency is left out"
    if colours.bits > 10:
        yield f"of {colours.bits} bits 10 are kept"
    chroma = [(component.width, component.height) for component in first.format.components[1:3]]
    if chroma and max(chroma) > (-(-first.width // 2), -(-first.height // 2)):
        yield "its colours are stored at half their resolution (4:2:0)"
    if first.interlaced_frame:
        yield "it is interlaced, and its frames are restored as if they were not"
    if orientation.is_oblique:
        yield "the angle by which it is to be turned is left out, since it is no multiple of 90 degrees"
