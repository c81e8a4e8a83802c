"""Videos in files, read frame by frame; OpenCV decodes them."""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2

from deeprftv2_arch.common.images import AnyImage
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.restoring.image_files import MAX_PIXELS, require_few_pixels, require_file
from deeprftv2_arch.restoring.videos.containers import require_whole_video

VIDEO_EXTENSIONS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
LARGEST_DENOMINATOR = 100_000  # of frame rates, such as 30000/1001, which OpenCV gives as floats
LEAST_SHARE = 0.5  # of the frames that a file announces; one that was cut without encoding it anew has fewer


def silence_decoders() -> None:
    """Keep OpenCV and its decoders from writing to the terminal what the errors here say in a line.

    For commands, and before the first video is opened.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class Video:
    """A video that is open for reading; to be closed.

    Args:
        path: An MP4, QuickTime, Matroska, WebM or AVI file.
        max_pixels: The most pixels that its frames may have; otherwise it is refused and not decoded.

    Attributes:
        path: The file.
        width: Of the upright frames.
        height: Of the upright frames.
        rate: Frames per second; the average where they are not evenly spaced.
        aspect: Width of a pixel over its height, as stored.
        frame_count: How many frames the file announces, in Matroska and WebM an estimate.

    Raises:
        DataError: The file is missing, no video, truncated, or its frames announce too many pixels.
    """

    def __init__(self, path: Path, max_pixels: int = MAX_PIXELS) -> None:
        require_file(path)
        try:
            self._count_is_exact = require_whole_video(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        # An absolute path, since "concat:a" or "http:a" as the name of a file means something else to the decoder.
        self._capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
        self.path = path
        self.width, self.height = (self._property(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        self.rate = Fraction(self._capture.get(cv2.CAP_PROP_FPS)).limit_denominator(LARGEST_DENOMINATOR)
        self.aspect = Fraction(
            max(1, self._property(cv2.CAP_PROP_SAR_NUM)), max(1, self._property(cv2.CAP_PROP_SAR_DEN))
        )
        self.frame_count = max(0, self._property(cv2.CAP_PROP_FRAME_COUNT))
        if not self._capture.isOpened() or self.rate <= 0:
            raise DataError(f"{path}: has no video stream that can be decoded")
        require_few_pixels(path, self.height, self.width, max_pixels)

    def _property(self, key: int) -> int:
        return round(self._capture.get(key))

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def frames(self) -> Iterator[AnyImage]:
        """Yield every frame (H, W, 3), uint8 RGB, turned upright as the file says.

        Raises:
            DataError: There are none, far fewer than announced, or their size changes.
        """
        number = 0
        while True:
            there, frame = self._capture.read()
            if not there:
                break
            if frame.shape[:2] != (self.height, self.width):
                raise DataError(
                    f"{self.path}: frame {number} is {frame.shape[1]}x{frame.shape[0]} and not "
                    f"{self.width}x{self.height}; cut the video where its size changes"
                )
            number += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        fewest = LEAST_SHARE * self.frame_count if self._count_is_exact else 1
        if number < max(1, fewest):
            raise DataError(
                f"{self.path}: is damaged, only {number} of {self.frame_count} announced frames can be decoded; encode "
                "it anew if it plays elsewhere"
            )
