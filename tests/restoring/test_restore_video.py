"""`python -m deeprftv2_arch restore` with films: what is written, left alone, gone on with, shared, and refused."""

import gc
import multiprocessing
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
import torch.distributed as dist
from file_faults import disk_with_room_for
from films import EVEN, HEIGHT, WIDTH, Sound, frame_times, moving_image, psnr, read_frames, streams, write_film
from restoring_helpers import Enlarging, noise, run_command, save_identity
from torch import Tensor, nn

from deeprftv2_arch.errors import DataError
from deeprftv2_arch.networks.identity import Identity
from deeprftv2_arch.restoring.batch import restore_video as module
from deeprftv2_arch.restoring.batch.outcome import Outcome
from deeprftv2_arch.restoring.batch.plan import Part, plan
from deeprftv2_arch.restoring.batch.restore_files import restore_files
from deeprftv2_arch.restoring.batch.shares import Share, of_all
from deeprftv2_arch.restoring.image_files import write_image
from deeprftv2_arch.restoring.restorer import Restorer
from deeprftv2_arch.restoring.tiles import Tiles
from deeprftv2_arch.restoring.videos import assembling, encoding
from deeprftv2_arch.restoring.videos.assembling import assemble
from deeprftv2_arch.restoring.videos.blocks import Blocks, folder_of
from deeprftv2_arch.restoring.videos.containers import require_whole_video
from deeprftv2_arch.restoring.videos.reading import Video

OF_AVI: dict[str, Any] = {
    "codec": "mpeg4",
    "times": [(number, 1) for number in range(12)],
    "time_base": Fraction(1, 25),
    "options": {"b": "4000k"},
}
CLOSE = 35  # dB, of frames through H.264; see test_films_kept.py


def write_clip(path: Path, frames: int = 12) -> Path:
    return write_film(path, times=[(40 * number, 40) for number in range(frames)])


def require_same(restored: list[np.ndarray], source: list[np.ndarray], bound: float = CLOSE) -> None:
    assert len(restored) == len(source) > 0
    for one, other in zip(restored, source, strict=True):
        assert psnr(one, other) > bound


def restore(
    restorer: Restorer, out: Path, *inputs: Path, overwrite: bool = False, share: Share | None = None, **wanted: bool
) -> Outcome:
    out.mkdir(exist_ok=True)
    planned = plan([str(path) for path in inputs], out, **wanted)
    return restore_files(restorer, share.of(planned, films_as_wholes=overwrite) if share else planned, out, overwrite)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def identity() -> Restorer:
    return Restorer(Identity(), "cpu")


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make blocks short, so that short films have several."""
    monkeypatch.setattr(module, "LENGTH", 4)
    return 4


# What is written


@pytest.mark.parametrize("name", ["-dash.mkv", "concat:a.mkv", "%03d 画像 'q' $x.mkv", "file:x|y.mkv"])
def test_names_are_only_names(tmp_path: Path, identity: Restorer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.mkv", 2).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert restore(identity, Path("out"), Path(name)).failures == []
    assert files(tmp_path / "out") == [f"{Path(name).stem}.mp4"]


def test_names_of_255_bytes(tmp_path: Path, identity: Restorer) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 2).rename(tmp_path / f"{'ü' * 125}x.mp4")
    assert restore(identity, tmp_path / "out", clip).failures == []
    assert files(tmp_path / "out") == [clip.name]


def test_enlarged_film_of_odd_size_with_comparison(tmp_path: Path) -> None:
    images = [moving_image(number, 47, 63) for number in range(3)]
    clip = write_film(tmp_path / "clip.mkv", "ffv1", "bgr0", EVEN[:3], images=images)
    out = tmp_path / "out"
    assert restore(Restorer(Enlarging(3), "cpu"), out, clip, compare=True).failures == []
    assert files(out) == ["clip.mp4", "clip_compare.mp4"]
    larger = [frame.repeat(3, axis=0).repeat(3, axis=1) for frame in read_frames(clip)]
    restored = read_frames(out / "clip.mp4")
    assert restored[0].shape == (142, 190, 3)  # the last row and column twice
    require_same([frame[:141, :189] for frame in restored], larger, bound=30)
    assert psnr(restored[2][141:, :189], larger[2][140:]) > 30
    both = read_frames(out / "clip_compare.mp4")
    assert both[0].shape == (142, 2 * 189 + 8, 3)
    require_same([frame[:141, :189] for frame in both], larger, bound=30)
    require_same([frame[:141, 197:386] for frame in both], larger, bound=30)


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "pixels"), [("libx264", "yuv420p"), ("libx265", "yuv420p10le")])
def test_film_in_half_precision(tmp_path: Path, codec: str, pixels: str) -> None:
    clip = write_film(tmp_path / "clip.mkv", codec, pixels, EVEN[:2])
    weights = save_identity(tmp_path / "net.pth")
    whole = Restorer.from_checkpoint(weights, device="cpu")
    half = Restorer.from_checkpoint(weights, device="cpu", dtype=torch.bfloat16)
    assert restore(half, tmp_path / "out", clip).failures == []
    require_same(read_frames(tmp_path / "out" / "clip.mp4"), read_frames(clip))
    with av.open(str(tmp_path / "out" / "clip.mp4")) as container:
        assert next(container.decode(video=0)).format.name == pixels
    # Frames of one precision are not taken for those of another one when a killed run goes on.
    assert module.identity_of(half, Video(clip)) != module.identity_of(whole, Video(clip))


def test_what_is_done_is_left_alone_unless_asked(tmp_path: Path, identity: Restorer) -> None:
    clip, out = write_clip(tmp_path / "clip.mkv"), tmp_path / "out"
    out.mkdir()
    (out / "clip.mp4").write_bytes(b"somebody's")
    outcome = restore(identity, out, clip)
    assert (outcome.done, outcome.unmarked, (out / "clip.mp4").read_bytes()) == (1, 1, b"somebody's")
    assert restore(identity, out, clip, overwrite=True).restored == 1
    assert len(read_frames(out / "clip.mp4")) == 12
    written = (out / "clip.mp4").stat().st_mtime_ns
    folder_of(out / "clip.mp4").mkdir()  # of a process that was killed before it could remove it
    assert (restore(identity, out, clip).done, files(out)) == (1, ["clip.mp4"])
    assert restore(identity, out, clip, compare=True).restored == 1
    assert (out / "clip.mp4").stat().st_mtime_ns == written


def test_links_lead_nowhere(tmp_path: Path, identity: Restorer) -> None:
    clip, out, precious = write_clip(tmp_path / "clip.mkv", 2), tmp_path / "out", tmp_path / "precious.txt"
    precious.write_text("precious", encoding="utf-8")
    out.mkdir()
    (out / "clip.mp4").symlink_to(precious)
    assert restore(identity, out, clip, overwrite=True).restored == 1
    assert precious.read_text(encoding="utf-8") == "precious"
    assert not (out / "clip.mp4").is_symlink()


def test_names_of_videos_and_images_do_not_meet(tmp_path: Path) -> None:
    for name in ("IMG_1.jpg", "IMG_1.MOV", "x.mp4", "x.avi", ".hidden.mp4", "notes.txt", "tape.m2ts", "old.wmv"):
        (tmp_path / name).touch()
    jobs = plan([str(tmp_path)], Path("out"), compare=True, kernels=True).jobs
    assert {job.source.name: [path.name for path in job.outputs()] for job in jobs} == {
        "IMG_1.jpg": ["IMG_1.png", "IMG_1_compare.png", "IMG_1_kernels.png"],
        "IMG_1.MOV": ["IMG_1.mp4", "IMG_1_compare.mp4", "IMG_1.MOV_kernels.png"],
        "x.mp4": ["x.mp4", "x_compare.mp4", "x.mp4_kernels.png"],
        "x.avi": ["x.avi.mp4", "x.avi_compare.mp4", "x.avi_kernels.png"],
        "tape.m2ts": ["tape.mp4", "tape_compare.mp4", "tape.m2ts_kernels.png"],
        "old.wmv": ["old.mp4", "old_compare.mp4", "old.wmv_kernels.png"],
    }


def test_kernels_are_those_of_the_middle_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 9)
    seen: list[np.ndarray] = []

    def kernels(image: np.ndarray, tiles: Tiles | None) -> np.ndarray:
        seen.append(image)
        return np.ones((12, 8, 8), np.float32)

    restorer = Restorer(Identity(), "cpu")
    monkeypatch.setattr(restorer, "kernels", kernels)
    restore(restorer, tmp_path / "out", clip, kernels=True)
    assert files(tmp_path / "out") == ["clip.mkv_kernels.png", "clip.mp4"]
    assert len(seen) == 1
    assert psnr((seen[0] / 257).round(), moving_image(4)) > CLOSE


class Counting(nn.Module):
    """Counts frames, and fails at one."""

    def __init__(self, fails_at: int = 0, error: BaseException | None = None) -> None:
        super().__init__()
        self.fails_at = fails_at
        self.error = error or KeyboardInterrupt()
        self.number = 0
        self.sizes: set[tuple[int, ...]] = set()

    def __repr__(self) -> str:
        return "Counting()"  # one that fails goes on as one that does not

    def forward(self, x: Tensor) -> Tensor:
        self.number += 1
        self.sizes.add(tuple(x.shape[2:]))
        if self.number == self.fails_at:
            raise self.error
        return x


def test_all_frames_are_restored_in_the_tiles_of_the_first(
    tmp_path: Path, short_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = write_clip(tmp_path / "clip.mkv", 8), tmp_path / "out"
    network = Counting()
    restorer = Restorer(network, "cpu")
    first_tiles = iter([Tiles(32, 8), None, None])
    monkeypatch.setattr(restorer, "_first_tiles", lambda h, w, wanted, *_: wanted or next(first_tiles))
    outcome = restore(restorer, out, clip)
    assert (outcome.restored, outcome.tiles) == (1, [32])
    assert network.sizes == {(32, 32)}
    blocks = Blocks(out / "x.mp4", "some film")
    assert (blocks.tiles(), blocks.agreed_tiles(Tiles(48, 0)), blocks.agreed_tiles(Tiles(32, 8))) == (
        None,
        Tiles(48, 0),
        Tiles(48, 0),
    )


def test_frames_in_python_are_restored_in_the_tiles_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
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


# Going on


def test_interrupted_run_leaves_whole_blocks_alone(tmp_path: Path, short_blocks: int) -> None:
    clip, out = write_film(tmp_path / "clip.mkv", others=[Sound()]), tmp_path / "out"
    assert restore(Restorer(Counting(), "cpu"), tmp_path / "at once", clip, compare=True).restored == 1
    stopped = restore(Restorer(Counting(fails_at=7), "cpu"), out, clip, compare=True)
    assert isinstance(stopped.stop, KeyboardInterrupt)
    assert [name for name in files(out) if name.endswith(".mp4")] == [
        ".clip.blocks/000000.mp4",
        ".clip_compare.blocks/000000.mp4",
    ]
    network = Counting()
    assert restore(Restorer(network, "cpu"), out, clip, compare=True).restored == 1
    assert network.number == 8
    assert files(out) == ["clip.mp4", "clip_compare.mp4"]
    for name in files(out):
        assert (out / name).read_bytes() == (tmp_path / "at once" / name).read_bytes()


def test_blocks_of_another_network_or_film_are_not_taken(tmp_path: Path, short_blocks: int) -> None:
    clip, out = write_clip(tmp_path / "clip.mkv"), tmp_path / "out"
    for change in (lambda: nn.Linear(1, 1), lambda: write_clip(clip, 11)):
        restore(Restorer(Counting(fails_at=7), "cpu"), out, clip)
        network = Counting()
        changed = change()
        if isinstance(changed, nn.Module):
            network.weights = changed
        assert restore(Restorer(network, "cpu"), out, clip, overwrite=True).restored == 1
        assert network.number == len(read_frames(clip))
        (out / "clip.mp4").unlink()


def restored_apart(out: Path, clip: Path) -> BaseProcess:
    """Start a process that restores a film."""
    gc.collect()  # or the process might free a decoder of this one, and wait for ever for its threads
    process = multiprocessing.get_context("fork").Process(target=restore, args=(Restorer(Identity(), "cpu"), out, clip))
    process.start()
    return process


def kills(folder: Path, clip: Path, tries: int) -> int:
    """Kill a process at moments all over the time that a film takes; return how often it was still at work.

    After each kill there is either no film or a whole one, the same as without a kill.
    """
    once, start = folder / "once", time.monotonic()
    restored_apart(once, clip).join()
    whole, killed = time.monotonic() - start, 0
    for delay in np.geomspace(whole / 100, whole, tries):  # most of them early: the first film takes longest
        process = restored_apart(folder / "out", clip)
        process.join(delay)
        killed += process.is_alive()
        process.kill()
        process.join()
        result = folder / "out" / "clip.mp4"
        if result.exists():
            assert result.read_bytes() == (once / "clip.mp4").read_bytes()
            result.unlink()
    assert restore(Restorer(Identity(), "cpu"), folder / "out", clip).restored == 1
    assert files(folder / "out") == ["clip.mp4"]
    assert (folder / "out" / "clip.mp4").read_bytes() == (once / "clip.mp4").read_bytes()
    return killed


@pytest.mark.slow
def test_killed_at_any_moment_a_film_is_whole_or_not_there(tmp_path: Path, short_blocks: int) -> None:
    clip = write_film(tmp_path / "clip.mkv", others=[Sound(), Sound("pcm_s16le")])
    assert kills(tmp_path, clip, tries=12) > 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("broken")])
def test_run_that_ends_in_the_first_block_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    clip, out = write_clip(tmp_path / "clip.mkv"), tmp_path / "out"
    outcome = restore(Restorer(Counting(7, error), "cpu"), out, clip, compare=True)
    assert files(out) == []
    assert outcome.failures == ([f"{clip}: ValueError: broken"] if isinstance(error, ValueError) else [])


# Success is said of what was checked


@pytest.mark.parametrize("room", [600, 3000, 6000])
def test_full_disk_is_an_error(tmp_path: Path, identity: Restorer, room: int) -> None:
    clip, out = write_film(tmp_path / "clip.mkv", others=[Sound()]), tmp_path / "out"
    with disk_with_room_for(room):
        outcome = restore(identity, out, clip)
    assert (outcome.restored, len(outcome.failures)) == (0, 1)
    assert "cannot be written: File too large" in outcome.failures[0]
    assert "clip.mp4" not in files(out)
    assert restore(identity, out, clip).restored == 1


def test_film_of_which_frames_or_sound_are_missing_is_an_error(
    tmp_path: Path, identity: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = write_film(tmp_path / "clip.mkv", others=[Sound()]), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(encoding.FrameWriter, "finish", lambda _: None)  # some frames are still in the encoder
        assert "of 12 frames that were written, " in restore(identity, out, clip).failures[0]
    mux = assembling._mux
    with monkeypatch.context() as patched:

        def lossy(*arguments: Any) -> Any:
            written = mux(*arguments)
            written[1] += 1
            return written

        patched.setattr(assembling, "_mux", lossy)
        assert "not all of the sound that was written is in the file" in restore(identity, out, clip).failures[0]
    with monkeypatch.context() as patched:
        longer = lambda path, film, blocks, times, *more: assemble(path, film, blocks, [*times, (9999, 40)], *more)  # noqa: E731
        patched.setattr(module, "assemble", longer)
        assert "the blocks hold 12 frames of 13" in restore(identity, out, clip).failures[0]
    assert restore(identity, out, clip).restored == 1
    assert files(out) == ["clip.mp4"]


# Several processes


def test_shares_of_a_film_make_what_one_process_makes(tmp_path: Path, short_blocks: int) -> None:
    count = 3
    clip, other = write_film(tmp_path / "clip.mkv", others=[Sound()]), write_clip(tmp_path / "other.mkv", 5)
    restore(Restorer(Counting(), "cpu"), tmp_path / "one", clip, other)
    networks = [Counting() for _ in range(count)]
    outcomes = [
        restore(Restorer(network, "cpu"), tmp_path / "shared", clip, other, share=Share(number, count))
        for number, network in enumerate(networks)
    ]
    assert [len(outcome.failures) for outcome in outcomes] == [0] * count
    assert sum(outcome.restored for outcome in outcomes) == 2
    assert "restored in part (the last of the other jobs completes them)" in str(outcomes[0])
    assert sum(network.number for network in networks) == 12 + 5
    assert max(network.number for network in networks) <= 8
    assert files(tmp_path / "shared") == files(tmp_path / "one")
    for name in files(tmp_path / "one"):
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    same = Restorer(Counting(), "cpu")
    again = [restore(same, tmp_path / "shared", clip, other, share=Share(number, count)) for number in range(count)]
    assert sum(outcome.done for outcome in again) == 2


def test_stale_film_is_told_of_by_every_share(tmp_path: Path, identity: Restorer) -> None:
    clip, out = write_clip(tmp_path / "clip.mkv", 2), tmp_path / "out"
    assert restore(identity, out, clip).restored == 1
    done = [restore(identity, out, clip, share=Share(number, 2)) for number in range(2)]
    assert [(outcome.done, outcome.failures) for outcome in done] == [(1, []), (0, [])]
    write_clip(clip, 3)
    first, second = (restore(identity, out, clip, share=Share(number, 2)) for number in range(2))
    assert "clip.mp4 was made of another file" in first.failures[0]
    assert second.failures == first.failures
    (out / "clip.mp4").write_bytes(b"somebody's")
    assert [restore(identity, out, clip, share=Share(number, 2)).unmarked for number in range(2)] == [1, 0]


def test_process_that_died_is_told_of(
    tmp_path: Path, identity: Restorer, short_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = write_clip(tmp_path / "clip.mkv"), tmp_path / "out"
    outcome = restore(identity, out, clip, share=Share(0, 2))
    assert [job.part for job in outcome.in_part] == [Part(0, 2)]
    assert files(out)[0] == ".clip.blocks"

    monkeypatch.setattr(dist, "gather_object", lambda mine, found: found.__setitem__(slice(2), [mine, Outcome()]))
    whole = of_all(outcome, Share(0, 2, local_rank=0))
    assert whole is not None
    reason = "not all frames were restored, since a process has failed; the same command goes on"
    assert whole.failures == [f"{clip}: {reason}"]
    assert restore(identity, out, clip).restored == 1
    assert files(out) == ["clip.mp4"]


def test_to_overwrite_a_film_is_for_one_process(tmp_path: Path, identity: Restorer, short_blocks: int) -> None:
    clip, out = write_clip(tmp_path / "clip.mkv"), tmp_path / "out"
    outcomes = [restore(identity, out, clip, overwrite=True, share=Share(number, 2)) for number in range(2)]
    assert [outcome.restored for outcome in outcomes] == [1, 0]


# What is refused


def test_without_the_package_av_a_line_says_how_to_install_it(
    tmp_path: Path, identity: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 1)
    for name in [name for name in sys.modules if name.startswith("deeprftv2_arch.restoring.batch.restore_video")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("deeprftv2_arch.restoring.batch.restore_video")
    monkeypatch.setitem(sys.modules, "av", None)
    write_image(tmp_path / "image.png", noise(8, 8, 3))
    outcome = restore(identity, tmp_path / "out", clip, tmp_path / "image.png")
    assert outcome.restored == 1
    assert len(outcome.failures) == 1
    assert outcome.failures[0].startswith(
        f"{clip}: films are read and written by the package av, which cannot be loaded"
    )
    assert 'pip install "deeprftv2_arch[video]"' in outcome.failures[0]


def test_without_an_encoder_a_line_says_where_there_is_one(
    tmp_path: Path, identity: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 1)
    monkeypatch.setattr(encoding, "ENCODER", "libnone")
    failures = restore(identity, tmp_path / "out", clip).failures
    assert "FFmpeg's libraries here have no encoder libnone, but the wheels of the package av have" in failures[0]
    assert files(tmp_path / "out") == []


def test_broken_films_are_lines_and_the_others_restored(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    for name in ("whole.mp4", "whole.mkv", "whole.avi"):
        settings = OF_AVI if "avi" in name else {}
        data = write_film(folder / name, **settings).read_bytes()
        (folder / name.replace("whole", "truncated")).write_bytes(data[:-100])
    zeros = bytearray((folder / "whole.avi").read_bytes())
    start, end = zeros.index(b"movi") + 4, zeros.index(b"idx1")
    zeros[start:end] = bytes(end - start)
    (folder / "zeros.avi").write_bytes(zeros)
    (folder / "text.MOV").write_text("#EXTM3U\n/etc/passwd\n", encoding="utf-8")
    (folder / "empty.webm").touch()
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", 48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    write_image(folder / "image.png", noise(8, 8, 3))
    capfd.readouterr()
    assert run_command("restore", folder, "-o", out, "--checkpoint", save_identity(tmp_path / "identity.pth")) == 1
    output = capfd.readouterr()
    assert output.out == f"{out}: 4 restored, 7 failed\n"
    said = [line for part in output.err.split("\n") if (line := part.split("\r")[-1].strip()) and "it/s]" not in line]
    failures = [line.removeprefix(f"{folder}/") for line in said if line.startswith(str(folder))]
    assert sorted(failures) == [
        "empty.webm: is empty",
        "sound.mp4: has no pictures that can be decoded",
        "text.MOV: is no film of a known kind (MP4, QuickTime, 3GP, Matroska, WebM, AVI, MPEG, WMV, Flash)",
        "truncated.avi: is truncated",
        "truncated.mkv: is truncated",
        "truncated.mp4: is truncated",
        "zeros.avi: is damaged, only 0 of 0 frames can be decoded; encode it anew if it plays elsewhere",
    ]
    assert [line for line in said if not line.startswith(str(folder)) and "%|" not in line] == []  # nothing of FFmpeg's
    assert files(out) == ["image.png", "whole.avi.mp4", "whole.mkv.mp4", "whole.mp4"]


def test_damaged_frames_are_counted(tmp_path: Path, identity: Restorer, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_clip(tmp_path / "clip.mkv")
    data = bytearray(clip.read_bytes())
    packets = streams(clip)[0].data
    at = data.index(packets[5]) + len(packets[5]) // 2
    data[at : at + 40] = bytes(40)
    clip.write_bytes(data)
    outcome = restore(identity, tmp_path / "out", clip)
    assert outcome.restored == 1
    assert [
        message for message in caplog.messages if "damaged in the file: " in message and "of its 12 frames" in message
    ]
    assert len(frame_times(tmp_path / "out" / "clip.mp4")) >= 10


def test_frames_that_refer_to_others_before_the_beginning_are_counted(
    tmp_path: Path, identity: Restorer, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_film(tmp_path / "whole.ts", times=[(40 * n, 40) for n in range(24)], options={"crf": "1", "g": "8"})
    data = whole.read_bytes()
    with av.open(str(whole)) as container:
        second = [packet.pos for packet in container.demux(video=0) if packet.size][1]
    clip = tmp_path / "clip.ts"
    clip.write_bytes(data[: 188 * 3] + data[second:])
    assert restore(identity, tmp_path / "out", clip).failures == []
    assert caplog.messages == [f"{clip}: damaged in the file: 7 of its 23 frames"]
    assert len(read_frames(tmp_path / "out" / "clip.mp4")) == 16


def test_size_that_changes_and_time_that_goes_back_are_refused(tmp_path: Path, identity: Restorer) -> None:
    one, other = (write_film(tmp_path / f"{n}.ts", images=[moving_image(0, n, n)] * 12) for n in (48, 64))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + other.read_bytes())
    failures = restore(identity, tmp_path / "out", joined).failures
    assert "and not 48x48; cut the film where its size changes" in failures[0]
    film = Video(one)
    assert film._start_of(3, 100, 200) == 201
    with pytest.raises(DataError, match="the time goes back at frame 3"):
        film._start_of(3, 0, 200_000)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "wmv"])
def test_containers_are_whole_or_truncated(tmp_path: Path, suffix: str) -> None:
    clip = tmp_path / f"clip.{suffix}"
    codec = {"webm": "libvpx", "wmv": "wmv2", "avi": "mpeg4"}.get(suffix, "libx264")
    write_film(clip, codec, times=OF_AVI["times"], time_base=OF_AVI["time_base"])
    data = clip.read_bytes()
    require_whole_video(clip)
    for length in (len(data) - 1, len(data) // 2, 40):
        clip.write_bytes(data[:length])
        with pytest.raises(DataError, match=rf"clip\.{suffix}: is truncated"):
            require_whole_video(clip)


def test_flash_film_that_says_its_size(tmp_path: Path) -> None:
    clip = write_film(tmp_path / "clip.flv", "flv", options={"b": "2000k"})
    assert require_whole_video(clip) == "flv"
    clip.write_bytes(clip.read_bytes()[:-10])
    with pytest.raises(DataError, match="is truncated"):
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
    clip = write_clip(tmp_path / "clip.mkv", 3)
    film = Video(clip, HEIGHT * WIDTH)
    assert (film.height, film.width, film.rate, film.count()) == (HEIGHT, WIDTH, Fraction(25), 3)
    monkeypatch.setattr("deeprftv2_arch.restoring.videos.reading._Decoder", None)
    outcome = restore(Restorer(Identity(), "cpu", max_pixels=HEIGHT * WIDTH - 1), tmp_path / "out", clip)
    assert outcome.failures[0].startswith(f"{clip}: announces 64x48 pixels, and no more than 3,071 are decoded")
