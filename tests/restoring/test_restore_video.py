"""`python -m deeprftv2_arch restore` with videos: frames, rate, sound, shapes, what is refused, what is left behind."""

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from restoring_helpers import Enlarging, noise, save_identity
from torch import Tensor, nn

from deeprftv2_arch.__main__ import main
from deeprftv2_arch.errors import DataError
from deeprftv2_arch.networks.identity import Identity
from deeprftv2_arch.restoring.batch.plan import plan
from deeprftv2_arch.restoring.batch.restore_files import Outcome, restore_files
from deeprftv2_arch.restoring.image_files import write_image
from deeprftv2_arch.restoring.restorer import Restorer
from deeprftv2_arch.restoring.tiles import Tiles
from deeprftv2_arch.restoring.videos.containers import require_whole_video
from deeprftv2_arch.restoring.videos.reading import Video

FRAMES, HEIGHT, WIDTH = 12, 48, 64
FFMPEG = shutil.which("ffmpeg") or ""
needs_ffmpeg = pytest.mark.skipif(not FFMPEG, reason="no program ffmpeg on the PATH")
CLOSE = 35  # dB, of frames through H.264; with red and blue swapped, or one frame later, they are below 20


def moving_image(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return frame `number` of a clip in RGB: a bright bar that moves over a slope of colours."""
    frame = np.empty((height, width, 3), np.uint8)
    frame[:, :, 0] = np.linspace(200, 80, width)
    frame[:, :, 1] = np.linspace(60, 160, height)[:, None]
    frame[:, :, 2] = 40
    frame[:, 4 * number : 4 * number + 8] = 230, 220, 90
    return frame


def write_clip(path: Path, codec: str = "MJPG", rate: float = 25, frames: int = FRAMES, **size: int) -> Path:
    """Write a silent clip by OpenCV."""
    first = moving_image(0, **size)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, first.shape[1::-1])
    assert writer.isOpened()
    for number in range(frames):
        writer.write(cv2.cvtColor(moving_image(number, **size), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def run_ffmpeg(*words: object) -> None:
    subprocess.run([FFMPEG, "-nostdin", "-v", "error", *map(str, words)], check=True)


def write_clip_with_sound(path: Path, *sound: str, rate: str = "30000/1001") -> Path:
    """Write a clip of a second with a tone."""
    silent = write_clip(path.with_name("silent.avi"))
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1")
    run_ffmpeg("-r", rate, "-i", silent, *tone, "-c:v", "libx264", "-crf", 1, "-pix_fmt", "yuv420p", *sound, path)
    silent.unlink()
    return path


def read_frames(path: Path) -> list[np.ndarray]:
    """Read all frames in RGB, by OpenCV alone."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (answer := capture.read())[0]:
        frames.append(cv2.cvtColor(answer[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return frames


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((one.astype(float) - other) ** 2))))


def require_same(restored: list[np.ndarray], source: list[np.ndarray], bound: float = CLOSE) -> None:
    assert len(restored) == len(source) > 0
    for one, other in zip(restored, source, strict=True):
        assert psnr(one, other) > bound


def streams(path: Path) -> dict[str, dict[str, str]]:
    """Ask ffprobe for the streams, by kind; every frame and packet is counted."""
    probe = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    found = json.loads(subprocess.run(probe, capture_output=True, check=True).stdout)["streams"]
    return {stream["codec_type"]: stream for stream in found}


def restore(restorer: Restorer, out: Path, *inputs: Path, overwrite: bool = False, **wanted: bool) -> Outcome:
    out.mkdir(exist_ok=True)
    return restore_files(restorer, plan([str(path) for path in inputs], out, **wanted), out, overwrite)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def identity() -> Restorer:
    return Restorer(Identity(), "cpu")


@pytest.fixture
def without_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def test_the_bound_tells_swapped_colours_and_shifted_frames() -> None:
    for number in range(FRAMES - 1):
        frame = moving_image(number)
        assert psnr(frame, frame[:, :, ::-1]) < 20
        assert psnr(frame, moving_image(number + 1)) < 20


# Written by ffmpeg


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "sound", "codec"),
    [
        ("clip.mp4", ("-c:a", "aac"), "aac"),
        ("clip.mov", ("-c:a", "pcm_s16le"), "aac"),
        ("clip.mkv", ("-c:a", "mp3"), "mp3"),
    ],
)
def test_frames_rate_and_sound_are_kept(
    tmp_path: Path, identity: Restorer, name: str, sound: tuple[str, ...], codec: str
) -> None:
    clip = write_clip_with_sound(tmp_path / name, *sound)
    assert str(restore(identity, tmp_path / "out", clip)) == "1 restored"
    restored = tmp_path / "out" / (f"{Path(name).stem}.mp4")
    assert files(tmp_path / "out") == [restored.name]
    before, after = streams(clip), streams(restored)
    assert after["video"]["nb_read_frames"] == before["video"]["nb_read_frames"] == str(FRAMES)
    assert after["video"]["avg_frame_rate"] == after["video"]["r_frame_rate"] == "30000/1001"
    assert float(after["video"]["duration"]) == pytest.approx(FRAMES * 1001 / 30000, abs=1e-5)
    assert after["audio"]["codec_name"] == codec
    assert float(after["audio"]["duration"]) == pytest.approx(1, abs=0.06)  # whole frames of the codec
    assert after["audio"]["channels"] == before["audio"]["channels"]
    require_same(read_frames(restored), read_frames(clip))


@needs_ffmpeg
def test_copied_sound_is_the_same_to_the_last_bit(tmp_path: Path, identity: Restorer) -> None:
    clip = write_clip_with_sound(tmp_path / "clip.mp4", "-c:a", "aac")
    restore(identity, tmp_path / "out", clip)
    sounds = []
    for path in (clip, tmp_path / "out" / "clip.mp4"):
        run_ffmpeg("-y", "-i", path, "-map", "0:a", "-c", "copy", "-f", "adts", tmp_path / "sound.aac")
        sounds.append((tmp_path / "sound.aac").read_bytes())
    assert sounds[0] == sounds[1] != b""


@needs_ffmpeg
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m"])
def test_colours_are_those_of_the_source(tmp_path: Path, identity: Restorer, matrix: str) -> None:
    """Decoded by ffmpeg, which heeds the tags: no hue is shifted between the standards of old and new television."""
    clip, restored, colour = tmp_path / "clip.mp4", tmp_path / "out" / "clip.mp4", (200, 40, 90)
    name = {"bt709": "bt709", "smpte170m": "bt601"}[matrix]
    source = ("-f", "lavfi", "-i", "color=c=0xC8285A:s=64x48:d=0.4:r=10,format=rgb24")
    scale = ("-vf", f"scale=out_color_matrix={name}:out_range=tv,format=yuv420p", "-colorspace", matrix)
    run_ffmpeg(*source, *scale, "-c:v", "libx264", "-crf", 1, clip)
    assert restore(identity, tmp_path / "out", clip).restored == 1
    for path in (clip, restored):
        run_ffmpeg("-i", path, "-frames:v", 1, "-pix_fmt", "rgb24", path.with_suffix(".png"))
        pixel = cv2.imread(str(path.with_suffix(".png")))[20, 20, ::-1]
        assert np.abs(pixel.astype(int) - colour).max() <= 4


@needs_ffmpeg
def test_turned_video_is_upright(tmp_path: Path, identity: Restorer) -> None:
    run_ffmpeg("-i", write_clip(tmp_path / "clip.avi"), "-pix_fmt", "yuv420p", "-crf", 1, tmp_path / "lying.mp4")
    rotate = ("-metadata:s:v:0", "rotate=90")
    run_ffmpeg("-i", tmp_path / "lying.mp4", "-c", "copy", *rotate, tmp_path / "turned.mp4")
    run_ffmpeg("-i", tmp_path / "turned.mp4", "-frames:v", 1, tmp_path / "upright.png")  # ffmpeg turns it itself
    upright = cv2.cvtColor(cv2.imread(str(tmp_path / "upright.png")), cv2.COLOR_BGR2RGB)
    assert upright.shape == (WIDTH, HEIGHT, 3)
    restore(identity, tmp_path / "out", tmp_path / "turned.mp4")
    frames = read_frames(tmp_path / "out" / "turned.mp4")
    assert len(frames) == FRAMES
    assert psnr(frames[0], upright) > CLOSE


@needs_ffmpeg
def test_pixels_that_are_not_square_stay_so(tmp_path: Path, identity: Restorer) -> None:
    clip = write_clip(tmp_path / "clip.avi")
    run_ffmpeg("-i", clip, "-vf", "setsar=16/15", "-c:v", "libx264", tmp_path / "wide.mkv")
    restore(identity, tmp_path / "out", tmp_path / "wide.mkv")
    assert streams(tmp_path / "out" / "wide.mp4")["video"]["sample_aspect_ratio"] == "16:15"


@needs_ffmpeg
@pytest.mark.parametrize("name", ["-dash.avi", "concat:a.avi", "%03d 画像 'q' $x.avi", "file:x|y.avi"])
def test_names_are_only_names(tmp_path: Path, identity: Restorer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.avi").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert restore(identity, Path("out"), Path(name)).failures == []
    assert files(tmp_path / "out") == [f"{Path(name).stem}.mp4"]
    require_same(read_frames(tmp_path / "out" / f"{Path(name).stem}.mp4"), read_frames(tmp_path / name))


@needs_ffmpeg
def test_error_of_ffmpeg_is_a_line(tmp_path: Path, identity: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "clip.avi")
    monkeypatch.setattr("deeprftv2_arch.restoring.videos.writing.QUALITY", "much")
    outcome = restore(identity, tmp_path / "out", clip)
    assert len(outcome.failures) == 1
    assert outcome.failures[0].startswith(f"{clip}: ffmpeg could not write the restored video: ")
    assert files(tmp_path / "out") == []


# Written by OpenCV


def test_without_ffmpeg_videos_are_silent_and_it_is_said(
    tmp_path: Path, identity: Restorer, without_ffmpeg: None, caplog: pytest.LogCaptureFixture
) -> None:
    clip = write_clip(tmp_path / "clip.avi")
    with caplog.at_level(logging.WARNING):
        outcome = restore(identity, tmp_path / "out", clip, compare=True)
    lost = "sound, if there was any, lost in 1, since there is no program ffmpeg"
    assert str(outcome) == f"1 restored, {lost}"
    assert caplog.messages == [f"{clip}: sound, if there is any, is lost, since there is no program ffmpeg on the PATH"]
    assert str(restore(identity, tmp_path / "out", clip)).startswith("0 restored, 1 done before")
    capture = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == 25
    capture.release()
    require_same(read_frames(tmp_path / "out" / "clip.mp4"), read_frames(clip), bound=28)


def test_file_that_opencv_cannot_write_is_an_error(
    tmp_path: Path, identity: Restorer, without_ffmpeg: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.avi")
    monkeypatch.setattr(cv2.VideoWriter, "fourcc", lambda *_: int.from_bytes(b"none", "little"))
    outcome = restore(identity, tmp_path / "out", clip)
    assert [line.split(": ")[1][:32] for line in outcome.failures] == ["OpenCV could not write the resto"]
    assert files(tmp_path / "out") == []


# Either way


@pytest.fixture(params=["ffmpeg", "OpenCV"])
def either_way(request: pytest.FixtureRequest) -> str:
    if request.param == "OpenCV":
        request.getfixturevalue("without_ffmpeg")
    elif not FFMPEG:
        pytest.skip("no program ffmpeg on the PATH")
    return request.param


@needs_ffmpeg
def test_enlarged_video_of_odd_size_with_comparison(tmp_path: Path, either_way: str) -> None:
    clip = tmp_path / "clip.mkv"  # OpenCV cannot write odd sizes
    run_ffmpeg("-i", write_clip(tmp_path / "even.avi"), "-vf", "crop=63:47:0:0:exact=1", "-c:v", "ffv1", clip)
    out = tmp_path / "out"
    assert restore(Restorer(Enlarging(3), "cpu"), out, clip, compare=True).failures == []
    assert files(out) == ["clip.mkv.mp4", "clip.mkv_compare.mp4"]
    larger = [frame.repeat(3, axis=0).repeat(3, axis=1) for frame in read_frames(clip)]
    assert larger[0].shape == (141, 189, 3)
    restored = read_frames(out / "clip.mkv.mp4")
    assert restored[0].shape == (142, 190, 3)  # the last row and column twice
    require_same([frame[:141, :189] for frame in restored], larger, bound=25)
    assert psnr(restored[5][141:, :189], larger[5][140:]) > 25
    both = read_frames(out / "clip.mkv_compare.mp4")
    assert both[0].shape == (142, 2 * 189 + 8, 3)
    require_same([frame[:141, :189] for frame in both], larger, bound=25)
    require_same([frame[:141, 197:386] for frame in both], larger, bound=25)


def test_what_is_done_is_left_alone_unless_asked(tmp_path: Path, identity: Restorer, either_way: str) -> None:
    clip, out = write_clip(tmp_path / "clip.avi"), tmp_path / "out"
    out.mkdir()
    (out / "clip.mp4").write_bytes(b"somebody's")
    assert (restore(identity, out, clip).done, files(out)) == (1, ["clip.mp4"])
    assert (out / "clip.mp4").read_bytes() == b"somebody's"
    assert restore(identity, out, clip, compare=True).restored == 1
    assert (out / "clip.mp4").read_bytes() == b"somebody's"
    assert restore(identity, out, clip, overwrite=True).restored == 1
    assert len(read_frames(out / "clip.mp4")) == FRAMES


class Interrupted(nn.Module):
    """Is interrupted, or fails, at the seventh frame."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.number = 0

    def forward(self, x: Tensor) -> Tensor:
        self.number += 1
        if self.number == 7:
            raise self.error
        return x


def test_interrupted_run_leaves_nothing(tmp_path: Path, either_way: str) -> None:
    clip, out = write_clip(tmp_path / "clip.avi"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        restore(Restorer(Interrupted(KeyboardInterrupt()), "cpu"), out, clip, compare=True)
    assert files(out) == []
    outcome = restore(Restorer(Interrupted(ValueError("broken")), "cpu"), out, clip)
    assert outcome.failures == [f"{clip}: ValueError: broken"]
    assert files(out) == []


# What is refused


def damage(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    start = data.index(b"movi") + 4
    end = data.index(b"idx1")
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return path


def test_broken_videos_are_lines_and_the_others_restored(
    tmp_path: Path, without_ffmpeg: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    whole = write_clip(folder / "whole.avi")
    (folder / "truncated.avi").write_bytes(whole.read_bytes()[:-900])
    write_clip(folder / "clip.mp4", "mp4v")
    (folder / "truncated.mp4").write_bytes((folder / "clip.mp4").read_bytes()[:-100])
    write_clip(folder / "clip.mkv", "FFV1")
    (folder / "truncated.mkv").write_bytes((folder / "clip.mkv").read_bytes()[:-100])
    damage(write_clip(folder / "zeros.avi"))
    (folder / "text.MOV").write_text("#EXTM3U\n/etc/passwd\n", encoding="utf-8")
    (folder / "empty.webm").touch()
    write_image(folder / "image.png", noise(8, 8, 3))
    checkpoint = save_identity(tmp_path / "identity.pth")
    words = ["deeprftv2_arch", "restore", str(folder), "-o", str(out), "--checkpoint", str(checkpoint)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    output = capsys.readouterr()
    lost = "sound, if there was any, lost in 3, since there is no program ffmpeg"
    assert output.out == f"{out}: 4 restored, {lost}, 6 failed\n"
    assert re.search(rf"(^|[\r\n]){re.escape(str(whole))}: sound, if there is any, is lost", output.err)  # not in a bar
    for failure in (
        "truncated.avi: is truncated",
        "truncated.mp4: is truncated",
        "truncated.mkv: is truncated",
        f"zeros.avi: is damaged, only 0 of {FRAMES} announced frames can be decoded",
        "text.MOV: is no video of a known kind",
        "empty.webm: is empty",
    ):
        assert f"{folder}/{failure}" in output.err
    assert files(out) == ["clip.mkv.mp4", "clip.mp4", "image.png", "whole.mp4"]


@needs_ffmpeg
def test_sound_alone_is_no_video(tmp_path: Path, identity: Restorer) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", tmp_path / "sound.mp4")
    assert restore(identity, tmp_path / "out", tmp_path / "sound.mp4").failures == [
        f"{tmp_path / 'sound.mp4'}: has no video stream that can be decoded"
    ]


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi"])
def test_containers_of_ffmpeg_are_whole_or_truncated(tmp_path: Path, suffix: str) -> None:
    clip = tmp_path / f"clip.{suffix}"
    run_ffmpeg("-i", write_clip(tmp_path / "silent.avi"), "-c:v", "vp8" if suffix == "webm" else "mjpeg", clip)
    data = clip.read_bytes()
    require_whole_video(clip)
    for length in (len(data) - 1, len(data) // 2, 40):
        clip.write_bytes(data[:length])
        with pytest.raises(DataError, match=rf"clip\.{suffix}: is truncated"):
            require_whole_video(clip)


def test_streamed_matroska_of_unknown_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "stream.webm"
    header = bytes.fromhex("1a45dfa3 80 18538067")
    for length, is_whole in (("01ffffffffffffff", True), ("83", True), ("84", False), ("4003", True), ("4004", False)):
        path.write_bytes(header + bytes.fromhex(length) + b"abc")
        if is_whole:
            require_whole_video(path)
        else:
            with pytest.raises(DataError, match="is truncated"):
                require_whole_video(path)


def test_frames_that_announce_too_many_pixels_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "clip.avi")
    with closing(Video(clip, HEIGHT * WIDTH)) as video:
        assert (video.height, video.width, video.rate, video.frame_count) == (HEIGHT, WIDTH, Fraction(25), FRAMES)
    monkeypatch.setattr(Video, "frames", lambda _: pytest.fail("was decoded"))
    outcome = restore(Restorer(Identity(), "cpu", max_pixels=HEIGHT * WIDTH - 1), tmp_path / "out", clip)
    assert outcome.failures[0].startswith(f"{clip}: announces 64x48 pixels, and no more than 3,071 are decoded")


def test_links_lead_nowhere(tmp_path: Path, identity: Restorer, either_way: str) -> None:
    clip, out, precious = write_clip(tmp_path / "clip.avi"), tmp_path / "out", tmp_path / "precious.txt"
    precious.write_text("precious", encoding="utf-8")
    out.mkdir()
    (out / "clip.mp4").symlink_to(precious)
    assert restore(identity, out, clip, overwrite=True).restored == 1
    assert precious.read_text(encoding="utf-8") == "precious"
    assert not (out / "clip.mp4").is_symlink()


# Names, kernels, tiles


def test_names_of_videos_and_images_do_not_meet(tmp_path: Path) -> None:
    for name in ("IMG_1.jpg", "IMG_1.MOV", "x.mp4", "x.avi", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).touch()
    jobs = plan([str(tmp_path)], Path("out"), compare=True, kernels=True).jobs
    assert {job.source.name: [path.name for path in job.outputs()] for job in jobs} == {
        "IMG_1.jpg": ["IMG_1.png", "IMG_1_compare.png", "IMG_1_kernels.png"],
        "IMG_1.MOV": ["IMG_1.mp4", "IMG_1_compare.mp4", "IMG_1.MOV_kernels.png"],
        "x.mp4": ["x.mp4", "x_compare.mp4", "x.mp4_kernels.png"],
        "x.avi": ["x.avi.mp4", "x.avi_compare.mp4", "x.avi_kernels.png"],
    }


def test_kernels_are_those_of_the_middle_frame(
    tmp_path: Path, without_ffmpeg: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", "FFV1", frames=9)
    seen: list[np.ndarray] = []

    def kernels(image: np.ndarray, tiles: Tiles | None) -> np.ndarray:
        seen.append(image)
        return np.ones((12, 8, 8), np.float32)

    restorer = Restorer(Identity(), "cpu")
    monkeypatch.setattr(restorer, "kernels", kernels)
    restore(restorer, tmp_path / "out", clip, kernels=True)
    assert files(tmp_path / "out") == ["clip.mkv_kernels.png", "clip.mp4"]
    assert len(seen) == 1
    assert psnr(seen[0], moving_image(4)) > 45


def test_all_frames_are_restored_in_the_tiles_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(tuple(x.shape[2:]))
            return x

    free: Iterator[Tiles | None] = iter([Tiles(80, 16), Tiles(64, 16), None])
    monkeypatch.setattr("deeprftv2_arch.restoring.restorer.tiles_that_fit", lambda *_: next(free))
    restorer = Restorer(Watching(), "cpu")
    image = noise(80, 120, 3)
    pairs = list(restorer.frames([image] * 3))
    assert set(sizes) == {(80, 80)}
    assert [restored.tiles for _, restored in pairs] == [Tiles(80, 16)] * 3
    assert all((frame == image).all() and (restored.image == image).all() for frame, restored in pairs)
    assert restorer.tile is None
    list(restorer.frames([noise(80, 120, 3)]))
    assert sizes[-1] == (64, 64)
    sizes.clear()
    list(restorer.frames([noise(80, 120, 3)] * 3))
    assert sizes == [(80, 120)] * 3
