"""The quickstart of super-resolution: its images, its figures, and a run of two steps through BasicSR's loop."""

import json
import subprocess
import sys
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from deeprftv2_arch.common.imresize import imresize
from quickstart import databases, steps
from quickstart.comparison import LABEL_HEIGHT, MARGIN, MARK, PAPER, TILE_WIDTH, comparison_png, photograph_columns
from quickstart.photographs import TRAINING, load_photograph
from quickstart.results import Result, markdown_table, to_json
from quickstart.super_resolution import SIZES, SuperResolution

REPOSITORY = Path(__file__).resolve().parents[2]
SHRUNK = "coffee.png"


def luma(photograph: np.ndarray) -> np.ndarray:
    """Y of BT.601 in float64, without a border of two pixels."""
    return (16 + photograph.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255)[2:-2, 2:-2]


def luma_psnr(photograph: np.ndarray, truth: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((luma(photograph) - luma(truth)) ** 2))


def luma_ssim(photograph: np.ndarray, truth: np.ndarray) -> float:
    return structural_similarity(
        luma(truth), luma(photograph), data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )


def read_database(database: Path) -> dict[str, np.ndarray]:
    """Read the images of an LMDB by their keys, RGB."""
    with lmdb.open(str(database), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return {
            key.decode(): cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
            for key, data in transaction.cursor()
        }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run two steps with one photograph to learn from and one to restore; return the folder and what is printed."""
    out = tmp_path_factory.mktemp("quickstart") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(databases, "TRAINING", (SHRUNK,))
        for module in (databases, steps):
            patch.setattr(module, "HELD_OUT", ("chelsea.png",))
        words = ["--threads", "1", "--iterations", "2", "--seed", "5", "--out", str(out)]
        patch.setattr(sys, "argv", ["super_resolution", *words])
        with redirect_stdout(StringIO()) as printed:
            steps.main(SuperResolution())
    return out, printed.getvalue()


@pytest.mark.slow
def test_the_bicubic_row_is_that_of_imresize(finished: tuple[Path, str]) -> None:
    out, _ = finished
    (row,) = json.loads((out / "results.json").read_text())["photographs"]
    truth = load_photograph("chelsea.png")
    small = imresize(truth, (150, 225))
    bicubic = imresize(small, (300, 450))
    assert row["photograph"] == "chelsea"
    assert row["bicubic_psnr"] == pytest.approx(luma_psnr(bicubic, truth), abs=1e-3)
    assert row["bicubic_ssim"] == pytest.approx(luma_ssim(bicubic, truth), abs=1e-5)


@pytest.mark.slow
def test_the_network_row_is_that_of_the_images_that_basicsr_saved(finished: tuple[Path, str]) -> None:
    out, _ = finished
    (row,) = json.loads((out / "results.json").read_text())["photographs"]
    (saved,) = (out / "experiments" / "quickstart_sr").rglob("chelsea_0_2.png")
    restored = cv2.imread(str(saved))[:, :, ::-1]
    truth = load_photograph("chelsea.png")
    # The process that trains and the one that reports may round differently.
    assert row["network_psnr"] == pytest.approx(luma_psnr(restored, truth), abs=0.01)
    assert row["network_ssim"] == pytest.approx(luma_ssim(restored, truth), abs=1e-3)
    assert row["gain"] == pytest.approx(row["network_psnr"] - row["bicubic_psnr"])


@pytest.mark.slow
def test_it_ends_with_table_and_image(finished: tuple[Path, str]) -> None:
    out, printed = finished
    table = (out / "results.md").read_text()
    headings = [cell.strip() for cell in table.splitlines()[0].strip("|").split("|")]
    assert headings == ["image", "PSNR bicubic", "PSNR network", "gain", "SSIM bicubic", "SSIM network", "seconds"]
    assert table in printed
    with Image.open(out / "chelsea.png") as sheet:
        assert sheet.width == 3 * TILE_WIDTH + 4 * MARGIN
    assert not list(out.glob("*.tmp"))


@pytest.mark.slow
def test_training_pairs_show_the_same(finished: tuple[Path, str]) -> None:
    out, _ = finished
    high, low = (read_database(out / "datasets" / "train" / f"{kind}.lmdb") for kind in ("HR", "LR"))
    assert high.keys() == low.keys()
    assert {key.split("_")[1] for key in low} == {"0", "1", "2"}
    for key, image in low.items():
        shrunk = imresize(high[key], image.shape[:2])
        # Away from the border, shrinking looks at nothing but the crop.
        np.testing.assert_array_equal(shrunk[4:-4, 4:-4], image[4:-4, 4:-4], err_msg=key)


def test_versions_are_the_photograph_in_other_sizes_and_colours() -> None:
    task = SuperResolution()
    photograph = load_photograph(SHRUNK)
    height, width = photograph.shape[:2]
    np.testing.assert_array_equal(task.true_version(SHRUNK, 0), photograph)
    for version in range(1, task.versions(SHRUNK)):
        shrunk = task.true_version(SHRUNK, version)
        assert shrunk.shape[0] == pytest.approx(SIZES[version] * height, abs=1)
        assert shrunk.shape[1] == pytest.approx(SIZES[version] * width, abs=1)
        assert shrunk.shape[0] % 2 == shrunk.shape[1] % 2 == 0
        # Red is where green and blue were, in turn.
        colours = shrunk.mean(axis=(0, 1))[[version % 3, (version + 1) % 3, (version + 2) % 3]]
        np.testing.assert_allclose(colours, photograph.mean(axis=(0, 1)), atol=0.5)


def test_photographs_with_colours_have_all_versions() -> None:
    for name in TRAINING:
        photograph = load_photograph(name).astype(int)
        coloured = np.ptp(photograph, axis=2).any()
        assert SuperResolution().versions(name) == (len(SIZES) if coloured else 1), name


def test_every_crop_holds_a_patch() -> None:
    stage = SuperResolution().options["datasets"]["train"]["patch_stages"][0]
    for name in TRAINING:
        smallest = min(load_photograph(name).shape[:2]) * min(SIZES) / 2
        assert min(smallest, databases.CROP // 2) >= stage["patch_size"], name


def test_figures_are_of_the_luma_without_its_border() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(20, 230, (40, 48, 3), dtype=np.uint8)
    image = (truth + rng.integers(-9, 10, truth.shape)).astype(np.uint8)
    task = SuperResolution()
    assert task.psnr(image, truth) == pytest.approx(luma_psnr(image, truth), abs=1e-3)
    assert task.ssim(image, truth) == pytest.approx(luma_ssim(image, truth), abs=1e-5)
    spoiled = image.copy()
    spoiled[:2], spoiled[-2:], spoiled[:, :2], spoiled[:, -2:] = 0, 0, 0, 0
    assert task.psnr(spoiled, truth) == task.psnr(image, truth)
    # Red and blue are not mixed up: Y falls by 65.481 and by 24.966 levels if one of them goes from 255 to 0.
    white = np.full((20, 20, 3), 255, np.uint8)
    for channel, levels in ((0, 65.481), (2, 24.966)):
        without = white.copy()
        without[:, :, channel] = 0
        assert task.psnr(without, white) == pytest.approx(20 * np.log10(255 / levels), abs=1e-3)


def test_table_and_json_use_the_words_of_the_task() -> None:
    words = SuperResolution.words
    results = [Result("cat", 30.0, 31.25, 0.9, 0.925, 2.0), Result("dog", 20.0, 20.75, 0.8, 0.875, 4.0)]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in markdown_table(results, words).splitlines()
    ]
    assert cells[4] == ["mean", "25.00 dB", "26.00 dB", "+1.00 dB", "0.8500", "0.9000", "3.00"]
    assert json.loads(to_json(results, words))["mean"] == {
        "photograph": "mean",
        "bicubic_psnr": 25.0,
        "network_psnr": 26.0,
        "bicubic_ssim": pytest.approx(0.85),
        "network_ssim": pytest.approx(0.9),
        "seconds": 3.0,
        "gain": 1.0,
    }


def test_comparison_shows_the_marked_details_enlarged() -> None:
    # 320 wide, so that the whole is shown pixel by pixel; the only structure is a square of 8 pixels.
    versions = {}
    for name, colour in (("bicubic", (200, 0, 0)), ("network", (0, 200, 0)), ("truth", (0, 0, 200))):
        versions[name] = np.full((200, TILE_WIDTH, 3), 90, np.uint8)
        versions[name][96:104, 200:208] = colour
    sheet = np.asarray(Image.open(BytesIO(comparison_png(photograph_columns(versions, zoom=4)))))
    assert sheet.shape[1] == 3 * TILE_WIDTH + 4 * MARGIN
    detail_y = LABEL_HEIGHT + 200 + MARGIN
    for column, shown in enumerate(([200, 0, 0], [0, 200, 0], [0, 0, 200])):
        x = MARGIN + column * (TILE_WIDTH + MARGIN)
        tile = sheet[LABEL_HEIGHT : LABEL_HEIGHT + 200, x : x + TILE_WIDTH]
        assert tile[100, 204].tolist() == shown
        assert tile[20, 20].tolist() == [90, 90, 90]
        rows, columns = np.nonzero((tile == MARK).all(axis=2))
        top, left = rows.min(), columns.min()
        # The frame is drawn around what the details show, a quarter of their size.
        assert rows.max() - top == 214 // 4
        assert columns.max() - left == TILE_WIDTH // 4
        detail = sheet[detail_y : detail_y + 214, x : x + TILE_WIDTH]
        assert detail[(100 - top) * 4, (204 - left) * 4].tolist() == shown
        # Eight pixels, four times as large.
        assert np.sum(np.abs(detail.astype(int) - shown).sum(axis=2) < 100) == pytest.approx(32 * 32, rel=0.1)
        assert (sheet[:, x - MARGIN : x] == PAPER).all()


@pytest.mark.slow
def test_a_folder_of_the_deblurring_quickstart_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "made_by_quickstart").touch()
    (tmp_path / "results.md").write_text("deblurred")
    process = subprocess.run(
        [sys.executable, "-m", "quickstart.super_resolution", "--out", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2
    assert process.stderr.splitlines() == [
        f"error: --out {tmp_path}: holds files that are not this quickstart's; name an empty or a new folder"
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made_by_quickstart", "results.md"]
