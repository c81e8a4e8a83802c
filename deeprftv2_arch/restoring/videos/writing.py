"""Videos written frame by frame as MP4: by the program ffmpeg, or by OpenCV where there is none."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

import cv2
import numpy as np

from deeprftv2_arch.common.atomic import written_whole
from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.videos.reading import Video

QUALITY = "16"  # constant rate factor of H.264; one cannot tell the frames from those before, or hardly
SOUND_IN_MP4 = ("aac", "ac3", "alac", "eac3", "mp3", "opus")  # copied; other sound becomes AAC, which all can play
SOUND_RATE = "192k"
# Frames are RGB; said in full, so that no player has to guess what the stored numbers mean.
COLOURS = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
COLOUR_TAGS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")

Write = Callable[[AnyImage], None]


def ffmpeg() -> str | None:
    """Return the path of the program, which alone can write H.264 and keep the sound; None where there is none."""
    return shutil.which("ffmpeg")


@contextmanager
def writing_video(path: Path, height: int, width: int, like: Video) -> Iterator[Write]:
    """Write a video, which appears under its name when the block ends without an error.

    Args:
        path: The file; one of this name is replaced.
        height: Of the frames. MP4 has even sizes: an odd row or column is written twice.
        width: Of the frames.
        like: Where frame rate, shape of the pixels and sound come from.

    Yields:
        Writes one frame, (height, width, 3) uint8 RGB.

    Raises:
        DataError: The program that writes it has failed.
        WriteError: It cannot be written.
    """
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    size = width + width % 2, height + height % 2
    with written_whole(path) as temporary:
        program = ffmpeg()
        writer = _by_ffmpeg(program, temporary, size, like) if program else _by_opencv(temporary, size, like)
        with writer as put:
            yield lambda frame: put(np.pad(frame, padding, "edge"))


@contextmanager
def _by_ffmpeg(program: str, target: Path, size: tuple[int, int], like: Video) -> Iterator[Write]:
    encoder = _Ffmpeg(program, target, size, like)
    try:
        yield encoder.write
        encoder.finish()
    finally:
        encoder.kill()


class _Ffmpeg:
    """The program at work on a video.

    Args:
        program: Its path.
        target: The file to write.
        size: Width and height of the frames, both even.
        like: Where frame rate, shape of the pixels and sound come from.
    """

    def __init__(self, program: str, target: Path, size: tuple[int, int], like: Video) -> None:
        self.source = like.path
        command = [
            *(program, "-nostdin", "-loglevel", "error", "-y"),
            *("-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{size[0]}x{size[1]}"),
            *("-framerate", str(like.rate), "-i", "pipe:0"),
            *_only_file(like.path),
            *("-map", "0:v", "-c:v", "libx264", "-crf", QUALITY, *COLOUR_TAGS),
            *("-vf", f"{COLOURS},setsar={like.aspect.numerator}/{like.aspect.denominator}"),
            *_sound(like.path),
            *("-map_metadata", "-1", "-map_chapters", "-1", "-f", "mp4", f"file:{target}"),
        ]
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115  (closed by kill)
        # A session of its own: an interruption from the keyboard is for this process to act on.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.messages, start_new_session=True
        )
        self.frames = cast(IO[bytes], self.process.stdin)

    def write(self, frame: AnyImage) -> None:
        """Hand a frame over, (height, width, 3) uint8 RGB.

        Raises:
            DataError: The program has ended early, and said why.
        """
        try:
            self.frames.write(frame.tobytes())
        except BrokenPipeError:
            self.finish()

    def finish(self) -> None:
        """Wait until all is written.

        Raises:
            DataError: The program could not write it.
        """
        with suppress(BrokenPipeError):
            self.frames.close()
        if self.process.wait():
            self.messages.seek(0)
            said = self.messages.read().decode("utf-8", "replace").split("\n")
            reason = next((line.strip() for line in reversed(said) if line.strip()), "without a reason")
            raise DataError(f"{self.source}: ffmpeg could not write the restored video: {reason}")

    def kill(self) -> None:
        """End the program if it still runs."""
        self.process.kill()
        self.process.wait()
        self.messages.close()


def _only_file(path: Path) -> tuple[str, ...]:
    """Return the words that make a file an input of ffmpeg, whatever its name looks like and whatever it refers to."""
    return "-protocol_whitelist", "file", "-i", f"file:{path.absolute()}"


def _sound(source: Path) -> Iterator[str]:
    """Yield the arguments that keep every sound of the second input which can be decoded."""
    yield from ("-c:a", "aac", "-b:a", SOUND_RATE)
    for number, (index, codec) in enumerate(_sound_streams(source)):
        yield from ("-map", f"1:{index}")
        if codec in SOUND_IN_MP4:
            yield from (f"-c:a:{number}", "copy")


def _sound_streams(source: Path) -> list[tuple[int, str]]:
    """Return index and codec of every stream of sound that ffmpeg knows."""
    program = shutil.which("ffprobe")
    if program is None:
        raise DataError(f"{source}: there is ffmpeg on the PATH but not ffprobe, which comes with it; install both")
    entries = ("-v", "error", "-select_streams", "a", "-show_entries", "stream=index,codec_name", "-of", "json")
    probe = subprocess.run([program, *entries, *_only_file(source)], capture_output=True, check=False)
    streams = json.loads(probe.stdout or b"{}").get("streams", [])
    return [(stream["index"], stream["codec_name"]) for stream in streams if "codec_name" in stream]


@contextmanager
def _by_opencv(target: Path, size: tuple[int, int], like: Video) -> Iterator[Write]:
    writer = cv2.VideoWriter(str(target), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), float(like.rate), size)
    number = 0

    def write(frame: AnyImage) -> None:
        nonlocal number
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        number += 1

    try:
        yield write
    finally:
        writer.release()
    # It says nothing where the disk is full or the size is too large.
    written = cv2.VideoCapture(str(target), cv2.CAP_FFMPEG)
    try:
        if written.get(cv2.CAP_PROP_FRAME_COUNT) != number:
            raise DataError(f"{like.path}: OpenCV could not write the restored video; is there space left on the disk?")
    finally:
        written.release()
