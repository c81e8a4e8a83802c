"""Films of every kind: each cell of the tables in docs/films.md, what is read, written, kept, and said to be lost."""

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from films import (
    EVEN,
    HEIGHT,
    WIDTH,
    X265,
    Sound,
    Texts,
    frame_times,
    moving_image,
    psnr,
    read_frames,
    streams,
    write_film,
)
from restoring_helpers import Enlarging

from deeprftv2_arch.networks.identity import Identity
from deeprftv2_arch.restoring.batch.plan import plan
from deeprftv2_arch.restoring.batch.restore_files import restore_files
from deeprftv2_arch.restoring.restorer import Restorer
from deeprftv2_arch.restoring.videos import reading
from deeprftv2_arch.restoring.videos.colours import Colours
from deeprftv2_arch.restoring.videos.hdr10 import Hdr10
from deeprftv2_arch.restoring.videos.reading import Video

CLOSE = 35  # dB, of frames through H.264; with red and blue swapped, or one frame later, they are below 20
TICK = Fraction(1, 1000)
CODECS = [
    # name, pictures, sound, what becomes of the sound, what is said
    ("x.mp4", "libx264", "aac", "aac", ""),
    ("x.mov", "mjpeg", "pcm_s16le", "aac", "its sound in pcm_s16le is encoded anew as AAC"),
    ("x.mkv", "libx265", "ac3", "ac3", ""),
    ("x.webm", "libvpx-vp9", "libopus", "opus", ""),
    ("x.avi", "mpeg4", "libmp3lame", "mp3", ""),
    ("x.ts", "libx264", "aac", "aac", ""),
    ("y.ts", "libx264", "mp2", "aac", "its sound in mp2 is encoded anew as AAC"),
    ("x.mpg", "mpeg2video", "mp2", "aac", "its sound in mp2 is encoded anew as AAC"),
    ("x.wmv", "wmv2", "wmav2", "aac", "its sound in wmav2 is encoded anew as AAC"),
    ("x.flv", "flv", "libmp3lame", "mp3", ""),
    ("x.3gp", "libx264", "libopencore_amrnb", "aac", "its sound in amr_nb is encoded anew as AAC"),
]


def restored(path: Path, caplog: pytest.LogCaptureFixture, upscale: int = 1, strip: bool = False) -> tuple[Path, str]:
    """Restore a film by a network that does nothing but enlarge; return the result, and what was said."""
    network = Enlarging(upscale) if upscale > 1 else Identity()
    out = path.parent / "out"
    out.mkdir(exist_ok=True)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        outcome = restore_files(Restorer(network, "cpu"), plan([str(path)], out), out, strip=strip)
    assert outcome.failures == []
    assert [one.name for one in out.iterdir()] == [f"{path.stem}.mp4"]
    return out / f"{path.stem}.mp4", "\n".join(message.removeprefix(f"{path}: ") for message in caplog.messages)


def test_the_bound_tells_swapped_colours_and_shifted_frames() -> None:
    for number in range(len(EVEN) - 1):
        frame = moving_image(number)
        assert psnr(frame, frame[:, :, ::-1]) < 20
        assert psnr(frame, moving_image(number + 1)) < 20


@pytest.mark.parametrize(("name", "pictures", "sound", "becomes", "said"), CODECS)
def test_kinds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, pictures: str, sound: str, becomes: str, said: str
) -> None:
    coarse = name.endswith((".avi", ".mpg", ".wmv"))
    clip = write_film(
        tmp_path / name,
        pictures,
        "yuvj420p" if pictures == "mjpeg" else "yuv420p",
        [(number, 1) for number in range(12)] if coarse else EVEN,
        Fraction(1, 25) if coarse else TICK,
        [
            Sound(
                sound,
                rate=8000 if "amr" in sound else 48000 if "opus" in sound else 44100,
                layout="stereo" if "wma" in sound else "mono",
            )
        ],
        options={"b": "4000k"},
    )
    result, words = restored(clip, caplog)
    assert words == said
    before, after = read_frames(clip), read_frames(result)
    assert len(before) == len(after) == 12
    assert min(map(psnr, before, after)) > CLOSE
    pictures_before, sound_before = sorted(streams(clip), key=lambda one: one.kind, reverse=True)
    pictures_after, sound_after = streams(result)
    assert (pictures_after.codec, sound_after.codec) == ("h264", becomes)
    begin = min(pictures_before.starts[0], *sound_before.starts) if name.endswith((".ts", ".mpg")) else Fraction(0)
    for (start, _), (its_start, _) in zip(frame_times(clip), frame_times(result), strict=True):
        assert abs(start - begin - its_start) <= TICK / 10
    # Of some kinds, packets do not say how long they last.
    end = max(pictures_before.end, max(pictures_before.starts) + Fraction(1, 25))
    assert abs(end - begin - pictures_after.end) <= TICK
    if becomes == sound_before.codec:
        assert sound_after.data == sound_before.data or name.endswith(".ts")
        assert abs(sound_before.starts[0] - begin - sound_after.starts[0]) <= TICK
        assert sound_before.end - begin - sound_after.end <= Fraction(28, 1000)  # a frame's silence at its end
        heard = [at - float(begin) for at in _loud(clip)]
        assert _loud(result) == pytest.approx(heard, abs=0.001)  # as players cut what encoders put ahead
    else:
        heard_before, heard_after = (_loud(path) for path in (clip, result))
        assert heard_after[0] == pytest.approx(heard_before[0] - float(begin), abs=0.03)
        assert heard_after[1] == pytest.approx(heard_before[1] - float(begin), abs=0.03)


def _loud(path: Path) -> tuple[float, float]:
    """Return when a sound begins and ends to be heard, in seconds."""
    heard = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            if frame.time is None:
                continue
            samples = np.abs(frame.to_ndarray().astype(float)).max(axis=0)
            peak = {"s16": 32768, "s16p": 32768}.get(frame.format.name, 1)
            heard += [frame.time + at / frame.sample_rate for at in np.flatnonzero(samples > 0.05 * peak)]
    return heard[0], heard[-1]


def test_stream_without_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_film(tmp_path / "x.mkv", others=[Sound(length=0), Sound("flac")])
    result, words = restored(clip, caplog)
    assert words == ""
    assert [(one.codec, len(one.data)) for one in streams(result)] == [("h264", 12), ("flac", 5)]


@pytest.mark.parametrize("codec", ["eac3", "alac", "flac"])
def test_other_sound_that_is_copied(tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str) -> None:
    clip = write_film(tmp_path / "x.mkv", others=[Sound(codec)])
    result, words = restored(clip, caplog)
    assert words == ""
    before, after = streams(clip)[1], streams(result)[1]
    assert (after.codec, after.data) == (codec, before.data)
    assert all(abs(one - other) <= TICK for one, other in zip(before.starts, after.starts, strict=True))


@pytest.mark.parametrize(
    ("codec", "layout", "becomes", "said"),
    [
        ("wavpack", "5.1(side)", "5.1", ""),  # as of DVDs and DTS
        ("pcm_s16le", "7.1", "7.1", ""),  # of which Matroska says no more than that there are 8
        ("wavpack", "6.1", "stereo", " and mixed down to stereo"),
    ],
)
def test_surround_sound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, layout: str, becomes: str, said: str
) -> None:
    result, words = restored(write_film(tmp_path / "x.mkv", others=[Sound(codec, layout=layout)]), caplog)
    assert words == f"its sound in {codec} is encoded anew as AAC{said}"
    with av.open(str(result)) as container:
        assert container.streams.audio[0].layout.name == becomes


def test_sound_that_cannot_be_decoded_is_said_to_be_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_film(tmp_path / "x.mkv", others=[Sound("pcm_s16le"), Sound("flac")])
    clip.write_bytes(clip.read_bytes().replace(b"A_PCM/INT/LIT", b"A_PCM/NEW/LIT"))
    result, words = restored(clip, caplog)
    assert words == "its sound in an unknown format is left out, since it cannot be decoded"
    assert [one.codec for one in streams(result)] == ["h264", "flac"]


def test_damaged_sound_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_film(tmp_path / "x.mkv", others=[Sound("wavpack", length=2.5)])
    data, packets = clip.read_bytes(), streams(clip)[1].data
    content = packets[1][32:]  # after what Matroska leaves out
    assert content in data
    clip.write_bytes(data.replace(content, bytes(len(content))))
    result, words = restored(clip, caplog)
    assert words.endswith("; of its sound and subtitles 1 packets are damaged and left out")
    assert _loud(result) == pytest.approx((0, 2.5), abs=0.01)  # what comes after keeps its time


@pytest.mark.parametrize(("codec", "packet"), [("eac3", 0), ("ac3", 4)])
def test_damaged_sound_that_no_mp4_can_hold_is_encoded_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, packet: int
) -> None:
    clip = write_film(tmp_path / "x.mkv", others=[Sound(codec)])
    content = streams(clip)[1].data[packet][4:]  # behind what Matroska leaves out
    start = clip.read_bytes().index(content) - 2
    damaged = np.random.default_rng(0).integers(0, 256, len(content) + 2, np.uint8).tobytes()
    clip.write_bytes(clip.read_bytes().replace(clip.read_bytes()[start : start + len(damaged)], damaged))
    result, words = restored(clip, caplog)
    assert words.startswith(f"its sound in {codec} is encoded anew as AAC, since it is damaged")
    assert [one.codec for one in streams(result)] == ["h264", "aac"]
    assert len(read_frames(result)) == 12
    assert _loud(result)[1] == pytest.approx(0.48, abs=0.04)


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        ("x.ts", "libx264", "aac"),
        ("x.mpg", "mpeg2video", "mp2"),
        ("x.flv", "flv", "libmp3lame"),
        ("x.webm", "libvpx", "libopus"),
    ],
)
def test_films_that_end_in_the_middle_of_a_packet_are_said_to_do_so(
    tmp_path: Path, name: str, codec: str, sound: str
) -> None:
    times, clock = ([(n, 1) for n in range(12)], Fraction(1, 25)) if name == "x.mpg" else (EVEN, TICK)
    others = [Sound(sound, rate=44100 if name == "x.flv" else 48000)]
    live = {"live": "1"} if name == "x.webm" else {}
    clip = write_film(tmp_path / name, codec, "yuv420p", times, clock, others, options={}, format_options=live)
    words = "it ends in the middle of a packet, and what followed is missing"
    assert words not in Video(clip).losses
    data = clip.read_bytes().replace(b"filesize\0", b"filesizf\0")  # as after a crash, which leaves it unwritten
    clip.write_bytes(data[: len(data) * 7 // 10 + 1])
    assert Video(clip).losses[0] == words


# Time

IRREGULAR = ((0, 100), (100, 17), (117, 500), (617, 3), (620, 80), (700, 300), (1000, 45))


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv", "x.webm"])
def test_every_frame_keeps_its_time(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    codec = "libvpx-vp9" if name == "x.webm" else "libx264"
    others = [] if name == "x.webm" else [Sound("flac", length=1.5)]
    clip = write_film(tmp_path / name, codec, times=IRREGULAR, others=others)
    result, words = restored(clip, caplog)
    assert words == ""
    assert [start for start, _ in frame_times(result)] == [Fraction(start, 1000) for start, _ in IRREGULAR]
    assert [length for _, length in frame_times(result)][:-1] == [
        Fraction(length, 1000) for _, length in IRREGULAR[:-1]
    ]
    assert abs(frame_times(result)[-1][1] - frame_times(clip)[-1][1]) <= TICK
    assert abs(length(clip) - length(result)) <= TICK


def length(path: Path) -> Fraction:
    """Return how long a film says that it is, in seconds."""
    with av.open(str(path)) as container:
        return Fraction(container.duration, av.time_base)


def test_pictures_that_begin_after_the_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = [(1023 + start, length) for start, length in EVEN]
    result, _ = restored(write_film(tmp_path / "x.mkv", times=times, others=[Sound("flac", length=1.5)]), caplog)
    pictures, sound = streams(result)
    assert (pictures.starts[0], sound.starts[0]) == (Fraction(1023, 1000), Fraction(0))
    assert sound.end == Fraction(3, 2)
    assert abs(length(result) - length(tmp_path / "x.mkv")) <= TICK


def test_sound_of_a_broadcast_that_begins_at_0(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = [(1000 + start, length) for start, length in EVEN]
    clip = write_film(tmp_path / "x.ts", times=times, others=[Sound("aac", length=1.5)])
    before = next(one for one in streams(clip) if one.kind == "audio")
    result, _ = restored(clip, caplog)
    pictures, sound = streams(result)
    assert len(sound.data) == len(before.data)
    assert abs(pictures.starts[0] - sound.starts[0] - (frame_times(clip)[0][0] - before.starts[0])) <= TICK


def test_sound_that_begins_after_the_pictures_and_pauses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_film(tmp_path / "x.mkv", others=[Sound("pcm_s16le", start=0.25, length=0.2)])
    result, _ = restored(clip, caplog)
    assert _loud(result) == pytest.approx((0.25, 0.45), abs=0.005)


def test_recorder_of_a_browser(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither rate nor length are said, as in what MediaRecorder writes."""
    clip = write_film(tmp_path / "x.webm", "libvpx", times=IRREGULAR, rate=Fraction(1000), format_options={"live": "1"})
    with av.open(str(clip)) as container:
        assert container.duration is None
    result, _ = restored(clip, caplog)
    assert [start for start, _ in frame_times(result)] == [Fraction(start, 1000) for start, _ in IRREGULAR]
    assert 1 <= length(result) <= Fraction(1045, 1000)
    with av.open(str(result)) as container:
        assert container.streams.video[0].codec_context.level < 20  # not of a thousand frames a second


def test_dropped_frames_of_an_avi(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    numbers = [0, 1, 5, 6, 13, 14, 20]
    images = [moving_image(number) for number in range(len(numbers))]
    times = [(number, 1) for number in numbers]
    clip = write_film(
        tmp_path / "x.avi", "mpeg4", times=times, time_base=Fraction(1, 25), images=images, options={"b": "4000k"}
    )
    result, words = restored(clip, caplog)
    assert words == ""
    assert [start for start, _ in frame_times(result)] == [Fraction(number, 25) for number in numbers]
    assert min(map(psnr, read_frames(clip), read_frames(result))) > CLOSE


# Meaning


def test_languages_titles_and_subtitles(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    others = [
        Sound(metadata={"language": "eng", "title": "Sound of the film"}),
        Sound("libmp3lame", metadata={"language": "deu"}),
        Texts(metadata={"language": "fra", "title": "Sous-titres"}),
        Texts("ass", lines=((50, 100, r"{\i1}Slanted{\i0}\Nsecond"),)),
    ]
    clip = write_film(tmp_path / "x.mkv", others=others)
    result, words = restored(clip, caplog)
    assert words == "of its subtitles the text is kept, but not where and how it is shown"
    _, first, second, texts, slanted = streams(result)
    assert (first.metadata["language"], first.metadata["name"]) == ("eng", "Sound of the film")
    assert second.metadata["language"] == "deu"
    assert (texts.kind, texts.codec) == ("subtitle", "mov_text")
    assert (texts.metadata["language"], texts.metadata["handler_name"]) == ("fra", "Sous-titres")
    shown = [
        (start, end, data[2:])
        for start, end, data in zip(texts.starts, texts.ends, texts.data, strict=True)
        if data[2:]
    ]
    assert shown == [(Fraction(1, 10), Fraction(3, 10), b"One"), (Fraction(32, 100), Fraction(42, 100), b"Two")]
    assert [data[2:16] for data in slanted.data if data[2:]] == [b"Slanted\nsecond"]
    assert b"styl" in slanted.data[1]
    assert [one.codec for one in streams(result)] == ["h264", "aac", "mp3", "mov_text", "mov_text"]


def test_subtitles_of_mp4_are_copied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_film(tmp_path / "x.mp4", others=[Texts("mov_text", metadata={"language": "ita"})])
    result, words = restored(clip, caplog)
    before, after = streams(clip)[1], streams(result)[1]
    assert words == ""
    assert (after.starts, after.data, after.metadata["language"]) == (before.starts, before.data, "ita")


def test_subtitles_that_are_pictures_are_said_to_be_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = tmp_path / "x.mkv"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        discs = container.add_mux_stream("dvd_subtitle")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(moving_image(0), "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode(None))
        packet = av.Packet(bytes(40))
        packet.pts = packet.dts = 0
        packet.stream = discs
        container.mux(packet)
    assert restored(clip, caplog)[1] == "its subtitles in dvd_subtitle are left out, since they are pictures"


def test_chapters_and_what_a_film_says_of_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = {"title": "Réunion", "artist": "Ann", "creation_time": "2021-02-03T04:05:06.000000Z"}
    chapters = ((0, 200, "One"), (200, 480, "Two"))
    clip = write_film(tmp_path / "x.mkv", metadata={**said, "mood": "glad"}, chapters=chapters)
    result, words = restored(clip, caplog)
    assert words == "of what it says of itself, an MP4 cannot hold mood"
    with av.open(str(result)) as container:
        assert said.items() <= container.metadata.items()
        found = [(one["start"] * one["time_base"], one["metadata"]["title"]) for one in container.chapters()]
    assert found == [(0, "One"), (Fraction(1, 5), "Two")]
    result.unlink()
    result, words = restored(clip, caplog, strip=True)
    assert words == ""
    with av.open(str(result)) as container:
        assert container.metadata.keys() & said.keys() == set()


def test_metadata_of_phones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.location.ISO6709": "+48.1+011.5/"}
    clip = write_film(tmp_path / "x.mov", metadata=said, format_options={"movflags": "+use_metadata_tags"})
    result, words = restored(clip, caplog)
    assert words == ""
    with av.open(str(result)) as container:
        assert said.items() <= container.metadata.items()


@pytest.mark.parametrize("turned", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_frames_and_their_pixels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, turned: int, mirrored: bool
) -> None:
    settings = {"aspect": Fraction(16, 11), "turned": turned, "mirrored": mirrored}
    clip = write_film(tmp_path / "x.mov", times=EVEN[:2], **settings)
    upright = [np.rot90(frame, turned // 90) for frame in read_frames(clip)]
    upright = [frame[:, ::-1] if mirrored else frame for frame in upright]
    result, words = restored(clip, caplog)
    assert words == ""
    frames = read_frames(result)
    assert frames[0].shape == ((HEIGHT, WIDTH, 3) if turned % 180 == 0 else (WIDTH, HEIGHT, 3))
    assert min(map(psnr, frames, upright)) > CLOSE
    with av.open(str(result)) as container:
        aspect = Fraction(16, 11)
        assert container.streams.video[0].sample_aspect_ratio == (aspect if turned % 180 == 0 else 1 / aspect)
        assert next(container.decode(video=0)).rotation == 0


def test_odd_angle_is_said_to_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = restored(write_film(tmp_path / "x.mov", times=EVEN[:2], turned=30), caplog)[1]
    assert words == "the angle by which it is to be turned is left out, since it is no multiple of 90 degrees"


# Colours

PATCHES = np.array(
    [[(200, 40, 90), (30, 180, 60), (60, 70, 220)], [(128, 128, 128), (235, 220, 30), (20, 20, 20)]], np.uint8
)
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
TAGS = [
    ("BT.709", (1, 1, 1, 1), "yuv420p"),
    ("BT.601", (6, 6, 6, 1), "yuv420p"),
    ("PAL", (5, 5, 6, 1), "yuv420p"),
    ("full range", (1, 1, 1, 2), "yuvj420p"),
    ("BT.2020", (9, 9, 14, 1), "yuv420p10le"),
    ("PQ", (9, 9, 16, 1), "yuv420p10le"),
    ("HLG", (9, 9, 18, 1), "yuv420p10le"),
    ("none", (2, 2, 2, 0), "yuv420p"),
]


def patches(dtype: type = np.uint8) -> np.ndarray:
    """Return six patches of 32x32 pixels."""
    image = PATCHES.repeat(32, axis=0).repeat(32, axis=1)
    return image if dtype == np.uint8 else image.astype(np.uint16) * 257


def colours_of(path: Path, matrix: int) -> np.ndarray:
    """Return the colours of the patches in 0..255, by the definition of the matrix, from the stored planes."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    depth = frame.format.components[0].bits
    planes = [
        np.frombuffer(plane, np.uint8 if depth == 8 else np.uint16).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]
    luma, blueness, redness = (  # of the middle of every patch
        np.array([[plane[h // 4 + h // 2 * row, w // 6 + w // 3 * column] for column in range(3)] for row in range(2)])
        for plane, (h, w) in zip(planes, (plane.shape for plane in planes), strict=True)
    )
    unit = 2.0 ** (depth - 8)
    if frame.color_range == 2:
        luma, blueness, redness = (
            luma / (2**depth - 1),
            *((x - 128 * unit) / (2**depth - 1) for x in (blueness, redness)),
        )
    else:
        luma, blueness, redness = (luma / unit - 16) / 219, (blueness / unit - 128) / 224, (redness / unit - 128) / 224
    red_part, blue_part = LUMA[matrix]
    red = luma + redness * 2 * (1 - red_part)
    blue = luma + blueness * 2 * (1 - blue_part)
    green = (luma - red_part * red - blue_part * blue) / (1 - red_part - blue_part)
    return 255 * np.stack([red, green, blue], axis=-1)


@pytest.mark.parametrize(("tags", "pixels"), [pytest.param(tags, pixels, id=name) for name, tags, pixels in TAGS])
def test_colours_and_their_tags(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tags: tuple[int, int, int, int], pixels: str
) -> None:
    codec = "libx265" if "10" in pixels else "libx264"
    images = [patches(np.uint16 if "10" in pixels else np.uint8)] * 2
    clip = write_film(tmp_path / "x.mkv", codec, pixels, EVEN[:2], tags=tags, images=images)
    result, words = restored(clip, caplog)
    assert words == ""
    with av.open(str(result)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == tags[:3]
    assert frame.color_range == tags[3] or (tags[3], frame.color_range) == (0, 1)
    assert frame.format.name.removeprefix("yuvj").removeprefix("yuv") == pixels.removeprefix("yuvj").removeprefix("yuv")
    matrix = 6 if tags[0] == 2 else tags[0]
    for path in (clip, result):
        assert np.abs(colours_of(path, matrix) - PATCHES).max() <= 2


def test_ten_bits_stay_ten_bits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    slope = np.linspace(20000, 21000, 96).astype(np.uint16)  # 16 steps of 10 bits, 4 of 8 bits
    image = np.broadcast_to(slope[None, :, None], (64, 96, 3)).copy()
    clip = write_film(tmp_path / "x.mkv", "libx265", "yuv420p10le", EVEN[:2], images=[image] * 2)
    result, words = restored(clip, caplog)
    assert words == ""
    with av.open(str(result)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
        frame = next(container.decode(video=0))
    luma = np.frombuffer(frame.planes[0], np.uint16).reshape(frame.height, -1)[:, :96]
    assert len(np.unique(luma)) >= 10


def test_twelve_bits_and_full_resolution_of_colours_are_said_to_be_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = write_film(tmp_path / "x.mkv", "ffv1", "yuv444p12le", EVEN[:2], options={"level": "3"})
    result, words = restored(clip, caplog)
    assert words == "of 12 bits 10 are kept; its colours are stored at half their resolution (4:2:0)"
    assert min(map(psnr, read_frames(clip), read_frames(result))) > 30


def test_screen_of_hdr10(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    screen = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    options = {"crf": "1", "x265-params": f"{X265['x265-params']}:{screen}"}
    clip = write_film(tmp_path / "x.mkv", "libx265", "yuv420p10le", EVEN[:2], tags=(9, 9, 16, 1), options=options)
    result, words = restored(clip, caplog)
    assert words == ""
    before, after = Video(clip).hdr10, Video(result).hdr10
    assert before == after
    assert after.light == (1000, 400)
    assert after.screen is not None
    assert after.screen[:2] == (Fraction(34, 50), Fraction(16, 50))
    assert after.screen[-2:] == (Fraction(1, 200), Fraction(1000))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("A53_CC", "its closed captions are left out"),
        ("DYNAMIC_HDR_PLUS", "its HDR10+ metadata are left out"),
        ("DOVI_RPU_BUFFER", "its Dolby Vision metadata are left out"),
    ],
)
def test_what_comes_with_single_frames_is_said_to_be_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    clip = write_film(tmp_path / "x.mp4", times=EVEN[:3])
    monkeypatch.setattr(reading, "side_data", lambda picture: {name: b""} if picture.pts else {})
    assert restored(clip, caplog)[1] == said


def test_eight_bits_say_nothing_of_a_screen(tmp_path: Path) -> None:
    assert not Video(write_film(tmp_path / "x.mp4", times=EVEN[:1])).hdr10
    assert Hdr10().parameters() == []


@pytest.mark.parametrize(
    ("codec", "pixels"), [("ffv1", "bgr0"), ("png", "rgb24"), ("qtrle", "rgb24"), ("ffv1", "gray")]
)
def test_other_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, pixels: str) -> None:
    images = [patches()] * 2
    clip = write_film(
        tmp_path / ("x.mkv" if codec == "ffv1" else "x.mov"),
        codec,
        pixels,
        EVEN[:2],
        images=images,
        options={"level": "3"},
    )
    result, _ = restored(clip, caplog)
    if pixels == "gray":
        with av.open(str(clip)) as container:
            expected = next(container.decode(video=0)).to_ndarray(format="gray")
        assert np.abs(read_frames(result)[0].astype(int) - expected[:, :, None]).max() <= 3
    else:
        assert np.abs(colours_of(result, 1) - PATCHES).max() <= 2
        assert Video(result).colours == Colours(1, 2, 2, 1)


@pytest.mark.parametrize(("codec", "pixels"), [("ffv1", "yuva420p"), ("png", "rgba"), ("libvpx-vp9", "yuva420p")])
def test_transparency_is_said_to_be_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, pixels: str
) -> None:
    clip = write_film(
        tmp_path / ("x.mov" if codec == "png" else "x.mkv"),
        codec,
        pixels,
        EVEN[:2],
        options={"level": "3"} if codec == "ffv1" else {},
    )
    if codec == "libvpx-vp9":
        assert "its transparency is left out" in Video(clip).losses
    else:
        assert "its transparency is left out" in restored(clip, caplog)[1]


def test_film_without_tags_that_grows_to_high_definition_says_how_it_was_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = PATCHES.repeat(200, axis=0).repeat(150, axis=1)
    clip = write_film(tmp_path / "x.mp4", times=EVEN[:1], images=[image])
    result, _ = restored(clip, caplog, upscale=2)
    assert Video(result).colours.matrix == 6
    assert np.abs(colours_of(result, 6) - PATCHES).max() <= 2


def test_interlaced_film_is_said_to_be_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {"b": "4000k", "flags": "+ildct+ilme"}
    clip = write_film(
        tmp_path / "x.mpg", "mpeg2video", times=[(n, 1) for n in range(3)], time_base=Fraction(1, 25), options=options
    )
    said = restored(clip, caplog)[1]
    assert said == "it is interlaced, and its frames are restored as if they were not"


def test_pictures_beside_the_film_and_attachments_are_said_to_be_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = tmp_path / "x.mkv"
    with av.open(str(clip), "w") as container:
        many = [container.add_stream("libx264", 25) for _ in range(2)]
        for stream in many:
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        container.add_attachment("font.ttf", "application/x-truetype-font", b"no font")
        for stream in many:
            frame = av.VideoFrame.from_ndarray(moving_image(0), "rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        for stream in many:
            container.mux(stream.encode(None))
    assert restored(clip, caplog)[1] == "its second picture is left out; its fonts and other attachments are left out"


def test_cover_and_streams_of_data_are_said_to_be_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = tmp_path / "x.mp4"
    with av.open(str(clip), "w", container_options={"write_tmcd": "1"}) as container:
        pictures, cover = container.add_stream("libx264", 25), container.add_stream("mjpeg", 25)
        for stream, pixels in ((pictures, "yuv420p"), (cover, "yuvj420p")):
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pixels
        pictures.metadata["timecode"] = "01:00:00:00"
        cover.disposition = av.stream.Disposition.attached_pic
        for stream in (pictures, cover):
            frame = av.VideoFrame.from_ndarray(moving_image(0), "rgb24").reformat(format=stream.pix_fmt)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    said = restored(clip, caplog)[1]
    assert said == "its data, such as times or places, are left out; its cover is left out"
