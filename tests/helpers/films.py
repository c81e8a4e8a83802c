"""Films of every kind, made by PyAV, and what there is in a film."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

HEIGHT, WIDTH = 48, 64
MILLISECONDS = Fraction(1, 1000)
X264 = {"crf": "1"}
# Without frames that refer to later ones: of fewer of them than it waits for, x265 makes up times of decoding.
X265 = {"crf": "1", "x265-params": "log-level=none:pools=none:bframes=0"}
EVEN = tuple((40 * number, 40) for number in range(12))  # start and duration in milliseconds


def moving_image(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return frame `number` of a clip in RGB: a bright bar that moves over a slope of colours."""
    frame = np.empty((height, width, 3), np.uint8)
    frame[:, :, 0] = np.linspace(200, 80, width)
    frame[:, :, 1] = np.linspace(60, 160, height)[:, None]
    frame[:, :, 2] = 40
    at = 4 * number % max(8, width - 8)
    frame[:, at : at + 8] = 230, 220, 90
    return frame


@dataclass
class Sound:
    """A tone: what it is encoded in, where it starts and how long it is, in seconds, and what is said of it."""

    codec: str = "aac"
    start: float = 0.0
    length: float = 0.48
    metadata: dict[str, str] = field(default_factory=dict)
    rate: int = 48000
    layout: str = "mono"


@dataclass
class Texts:
    """Subtitles: what they are encoded in, and start, duration in milliseconds and text of each."""

    codec: str = "subrip"
    lines: Sequence[tuple[int, int, str]] = ((100, 200, "One"), (320, 100, "Two"))
    metadata: dict[str, str] = field(default_factory=dict)


def write_film(
    path: Path,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: Sequence[tuple[int, int]] = EVEN,
    time_base: Fraction = MILLISECONDS,
    others: Sequence[Sound | Texts] = (),
    tags: tuple[int, int, int, int] | None = None,
    options: dict[str, str] | None = None,
    images: Sequence[np.ndarray] | None = None,
    metadata: dict[str, str] | None = None,
    rate: Fraction = Fraction(25),
    chapters: Sequence[tuple[int, int, str]] = (),
    format_options: dict[str, str] | None = None,
    **settings: Any,
) -> Path:
    """Write a film.

    Args:
        path: The file; its suffix says of which kind.
        codec: Of the pictures.
        pixels: Format in which they are stored.
        times: Start and duration of every frame, in units of the time base.
        time_base: In seconds.
        others: Its sounds and subtitles.
        tags: Matrix, primaries, transfer and range of the colours, by the numbers of H.273.
        options: Of the encoder.
        images: The frames; by default a moving bar.
        metadata: Of the film.
        rate: In frames per second.
        chapters: Start and end in milliseconds, and title.
        format_options: Of the container.
        **settings: `aspect`, `turned` (degrees, against the clock) and `mirrored`.
    """
    images = images or [moving_image(number) for number in range(len(times))]
    defaults = {"libx264": X264, "libx265": X265}
    with av.open(str(path), "w", container_options=format_options or {}) as container:
        stream = container.add_stream(codec, rate, options or defaults.get(codec, {}))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = time_base
        if "aspect" in settings:
            stream.codec_context.sample_aspect_ratio = settings["aspect"]
        if "turned" in settings:
            stream.set_display_rotation(settings["turned"], hflip=settings.get("mirrored", False))
        if tags is not None:
            context = stream.codec_context
            context.colorspace, context.color_primaries, context.color_trc, context.color_range = tags
        if metadata:
            container.metadata.update(metadata)
        if chapters:
            container.set_chapters(
                [
                    {"id": n, "start": start, "end": end, "time_base": MILLISECONDS, "metadata": {"title": title}}
                    for n, (start, end, title) in enumerate(chapters)
                ]
            )
        added = [(_add(container, other), other) for other in others]
        durations = dict(times)
        packets = []
        for image, (start, _) in zip(images, times, strict=True):
            frame = to_frame(image, pixels, tags)
            frame.pts, frame.time_base = start, time_base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets:
            packet.duration = durations.get(packet.pts, 0)
        for one, other in added:
            packets += _sound_packets(one, other) if isinstance(other, Sound) else _text_packets(one, other)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def to_frame(image: np.ndarray, pixels: str, tags: tuple[int, int, int, int] | None) -> av.VideoFrame:
    """Turn an image into a frame whose colours are as the tags say; without tags as of old television."""
    frame = av.VideoFrame.from_ndarray(image, "rgb24" if image.dtype == np.uint8 else "rgb48le")
    if pixels.startswith(("rgb", "bgr", "gbr", "gray", "pal")):
        return frame.reformat(format=pixels)
    matrix, primaries, transfer, value_range = tags or (2, 2, 2, 0)
    swscale = {1: 1, 9: 9}.get(matrix, 5)
    frame = frame.reformat(
        format=pixels,
        dst_colorspace=swscale,
        src_color_range=2,
        dst_color_range=value_range or 1,
        interpolation=0x4 | 0x4000 | 0x40000,
    )
    frame.colorspace, frame.color_range = matrix, value_range
    frame.color_primaries, frame.color_trc = primaries, transfer
    return frame


def _add(container: Any, other: Sound | Texts) -> Any:
    if isinstance(other, Sound):
        stream = container.add_stream(other.codec, other.rate)
        stream.codec_context.layout = other.layout
        stream.codec_context.bit_rate = 12_200 if "amr" in other.codec else 96_000
    else:
        stream = container.add_stream(other.codec)
        stream.codec_context.subtitle_header = ASS_HEADER
        stream.codec_context.time_base = stream.time_base = MILLISECONDS
    stream.metadata.update(other.metadata)
    return stream


ASS_HEADER = (
    b"[Script Info]\r\nScriptType: v4.00+\r\nPlayResX: 384\r\nPlayResY: 288\r\n\r\n[V4+ Styles]\r\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    b"Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, "
    b"MarginV, Encoding\r\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0\r\n\r\n"
    b"[Events]\r\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r\n\0"
)


def _sound_packets(stream: Any, sound: Sound) -> list[Any]:
    samples = round(sound.length * sound.rate)
    tone = (np.sin(np.arange(samples) * 2 * np.pi * 440 / sound.rate) * 8000).astype(np.int16)
    channels = stream.codec_context.layout.nb_channels
    stream.codec_context.open()
    size = stream.codec_context.frame_size or 1024
    resampler = av.AudioResampler(stream.codec_context.format, sound.layout, sound.rate)
    packets: list[Any] = []
    for at in range(0, samples, size):
        part = np.repeat(tone[at : at + size], channels)[None]
        frame = av.AudioFrame.from_ndarray(part, "s16", sound.layout)
        frame.sample_rate = sound.rate
        frame.pts, frame.time_base = round(sound.start * sound.rate) + at, Fraction(1, sound.rate)
        for one in resampler.resample(frame):
            packets += stream.encode(one)
    packets += stream.encode(None)
    return packets


def _text_packets(stream: Any, texts: Texts) -> list[Any]:
    packets = []
    for number, (start, length, text) in enumerate(texts.lines):
        line = f"{number},0,Default,,0,0,0,,{text}".encode()
        packet = stream.codec_context.encode_subtitle(av.subtitles.subtitle.SubtitleSet.create(line, 0, length))
        packet.pts = packet.dts = start
        packet.duration, packet.time_base, packet.stream = length, MILLISECONDS, stream
        packets.append(packet)
    return packets


@dataclass
class Found:
    """What there is of one stream: when each packet begins and ends, in seconds, its bytes, and what is said of it."""

    kind: str
    codec: str
    starts: list[Fraction]
    ends: list[Fraction]
    data: list[bytes]
    metadata: dict[str, str]

    @property
    def end(self) -> Fraction:
        return max(self.ends)


def streams(path: Path) -> list[Found]:
    """Read all packets of a film."""
    with av.open(str(path)) as container:
        found = [
            Found(
                one.type, one.codec_context.codec.canonical_name if one.codec_context else "", [], [], [], one.metadata
            )
            for one in container.streams
        ]
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                one = found[packet.stream_index]
                one.starts.append(packet.pts * packet.time_base)
                one.ends.append((packet.pts + packet.duration) * packet.time_base)
                one.data.append(bytes(packet))
    return found


def read_frames(path: Path) -> list[np.ndarray]:
    """Read all frames in RGB, as they are stored, by PyAV's own conversion."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def frame_times(path: Path) -> list[tuple[Fraction, Fraction]]:
    """Return when each frame is shown, and for how long, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [(one.pts * stream.time_base, one.duration * stream.time_base) for one in container.decode(stream)]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((one.astype(float) - other) ** 2))))
