"""Frames encoded into a file that is whole: H.264 of films with 8 bits, HEVC with 10 bits of those with more.

There are no frames that refer to later ones, so that frames are stored in the order in which they are shown, at times
that hold without a shift, and a film can be put together from parts that were encoded on their own. The same frames
always become the same bytes: to that end the encoders do not look ahead for how often a block will be referred to
(mbtree), which of x264 gives other bytes in one of several hundred runs.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import av.error
import numpy as np
from av.codec.codec import UnknownCodecError

from deeprftv2_arch.common.atomic import written_whole
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.videos.colours import Colours
from deeprftv2_arch.restoring.videos.hdr10 import Hdr10
from deeprftv2_arch.restoring.videos.reading import Video

QUALITY = "17"  # constant rate factor; one cannot tell the frames from those before, or hardly
FINER_COLOURS = -4  # steps of quantisation, without which even patches of one colour come back two levels off
THREADS = "4"  # whatever the machine, since the encoded bytes depend on it
ENCODER: Literal["libx264"] = "libx264"
DEEP_ENCODER: Literal["libx265"] = "libx265"
LONGEST_SIDE = 16384  # pixels, of the encoders
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.ENOENT)


@dataclass(frozen=True)
class Encoding:
    """How the frames of a film are written.

    Attributes:
        height: Of the frames as they come. Those that are written have even sides: an odd row or column is there twice.
        width: Of the frames as they come.
        colours: What their numbers mean.
        aspect: Width of a pixel over its height.
        time_base: The unit of all times, in seconds.
        rate: About how many frames there are in a second.
        hdr10: What is known of the screen.
    """

    height: int
    width: int
    colours: Colours
    aspect: Fraction
    time_base: Fraction
    rate: Fraction
    hdr10: Hdr10

    @classmethod
    def like(cls, film: Video, height: int, width: int, shown_height: int) -> "Encoding":
        """Return that for the frames of a film, restored and perhaps laid out beside others.

        Args:
            film: The film.
            height: Of the frames to be written.
            width: Of the frames to be written.
            shown_height: That of a restored frame.
        """
        enlarged = film.width * shown_height // film.height
        colours = film.colours.written((film.height, film.width), (shown_height, enlarged))
        return cls(height, width, colours, film.aspect, film.time_base, film.rate, film.hdr10)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what is written."""
        return self.height + self.height % 2, self.width + self.width % 2

    def new_stream(self, container: "av.container.OutputContainer") -> av.VideoStream:
        """Add a stream of such frames to a file that is to be written."""
        if self.colours.is_deep:
            parameters = ["log-level=none", "bframes=0", "cutree=0", "pools=none", f"frame-threads={THREADS}"]
            parameters += [f"{name}={FINER_COLOURS}" for name in ("cbqpoffs", "crqpoffs")]
            options = {"x265-params": ":".join([*parameters, *self.hdr10.parameters()])}
            stream = container.add_stream(DEEP_ENCODER, self.rate, {"crf": QUALITY, **options})
            stream.pix_fmt = "yuv420p10le"
        else:
            options = {"threads": THREADS, "x264-params": f"chroma-qp-offset={FINER_COLOURS}:mbtree=0"}
            stream = container.add_stream(ENCODER, self.rate, {"crf": QUALITY, **options})
            stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        stream.height, stream.width = self.size
        stream.time_base = context.time_base = self.time_base
        context.max_b_frames = 0
        context.sample_aspect_ratio = self.aspect
        context.colorspace, context.color_range = self.colours.matrix, self.colours.range
        context.color_primaries, context.color_trc = self.colours.primaries, self.colours.transfer
        return stream

    def prepared(self, image: AnyImage) -> av.VideoFrame:
        """Return an image (height, width, 3) as a frame of such a stream."""
        return self.colours.from_rgb(np.pad(image, ((0, self.height % 2), (0, self.width % 2), (0, 0)), "edge"))


@contextmanager
def io_errors(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors of writing a file into those of the system, or into a line."""
    try:
        yield
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) or error.errno in _OF_THE_DISK:
            raise OSError(error.errno, error.strerror) from error
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    except UnknownCodecError as error:
        raise DataError(
            f"{path}: FFmpeg's libraries here have no encoder {error}, but the wheels of the package av have; "
            "pip install av"
        ) from error


class FrameWriter:
    """Writes frames into a file; made by :func:`writing_frames`."""

    def __init__(self, container: "av.container.OutputContainer", encoding: Encoding) -> None:
        self.container = container
        self.encoding = encoding
        self.stream = encoding.new_stream(container)
        self.first: int | None = None
        self.times: list[int] = []
        self.durations: dict[int, int] = {}

    def write(self, image: AnyImage, start: int, duration: int) -> None:
        """Write a frame (height, width, 3), uint16, which is shown from ``start`` on.

        The first one is shown at once; times are in units of the time base.
        """
        if self.first is None:
            self.first = start
        frame = self.encoding.prepared(image)
        frame.pts, frame.time_base = start - self.first, self.encoding.time_base
        self.times.append(frame.pts)
        self.durations[frame.pts] = duration
        self._mux(frame)

    def finish(self) -> None:
        """Write what the encoder still has."""
        self._mux(None)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self.stream.encode(frame):
            packet.duration = self.durations.get(packet.pts or 0, 0)
            self.container.mux(packet)


@contextmanager
def writing_frames(path: Path, encoding: Encoding) -> Iterator[FrameWriter]:
    """Write frames into an MP4, which appears under its name when the block ends and all of them can be read from it.

    Raises:
        DataError: FFmpeg's libraries cannot encode it, or cannot read what they have written.
        WriteError: It cannot be written.
    """
    with written_whole(path) as temporary, io_errors(path):
        with av.open(str(temporary.absolute()), "w", format="mp4") as container:
            writer = FrameWriter(container, encoding)
            yield writer
            writer.finish()
        _require_frames(temporary, path, writer.times, encoding.time_base)


def _require_frames(written: Path, path: Path, times: list[int], time_base: Fraction) -> None:
    """Decode what was written, and compare it with what was fed."""
    found: list[Fraction] = []
    with suppress(av.error.FFmpegError), av.open(str(written.absolute())) as container:
        found += [frame.pts * frame.time_base / time_base for frame in container.decode(video=0)]
    if found != times:
        raise DataError(
            f"{path}: of {len(times)} frames that were written, {len(found)} are in the file, or at other times; "
            "is there room on the disk?"
        )
