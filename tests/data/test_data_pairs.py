"""DeblurPairDataset: what is cut, how it is turned, and how bad data is reported."""

import os
import pickle
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from image_files import options, position_image, positions, write_folder, write_lmdb
from PIL import Image
from torch.utils.data import DataLoader

from deeprftv2_arch.data.batch_samplers import ProgressiveBatchSampler
from deeprftv2_arch.data.image_pair_dataset import DeblurPairDataset
from deeprftv2_arch.data.image_stores import ImageDatabase, _environment
from deeprftv2_arch.data.patches import WAYS, PatchRequest, turned
from deeprftv2_arch.errors import DataError, OptionError

NAMES = ["a", "scene.1/0.5x", "scene.2/0.5x"]


def write(root: Path, form: str, size: tuple[int, int] = (20, 24)) -> tuple[Path, Path]:
    roots = []
    for side, name in enumerate(("blur", "sharp")):
        images = {key: position_image(*size, side) for key in NAMES}
        if form == "lmdb":
            roots.append(write_lmdb(root / f"{name}.lmdb", images))
        else:
            roots.append(write_folder(root / name, images))
    return roots[0], roots[1]


@pytest.fixture(params=["disk", "lmdb"])
def roots(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path, request.param)


def test_the_eight_turns_are_the_eight_symmetries_of_the_square() -> None:
    square = np.arange(9).reshape(3, 3)
    found = {turned(square, way).tobytes() for way in range(WAYS)}
    symmetries = set()
    for transposed in (square, square.T):
        for rows in (1, -1):
            for columns in (1, -1):
                symmetries.add(np.ascontiguousarray(transposed[::rows, ::columns]).tobytes())
    assert found == symmetries
    assert len(found) == 8


def test_both_patches_are_cut_and_turned_alike(roots: tuple[Path, Path]) -> None:
    dataset = DeblurPairDataset(options(*roots))
    seen = set()
    for seed in range(200):
        item = dataset[PatchRequest(seed % 3, 8, seed)]
        assert item["lq"].shape == item["gt"].shape == (3, 8, 8)
        assert item["lq"].dtype == torch.float32
        assert item["scheduled"] is True
        blurred, sharp = positions(item["lq"]), positions(item["gt"])
        assert (blurred == sharp).all()
        assert (item["lq"][0].unique() * 65535).round().tolist() == [0]  # red says which of the two it is
        assert (item["gt"][0].unique() * 65535).round().tolist() == [1]
        top, left = blurred.min(axis=(1, 2))
        patch = np.mgrid[top : top + 8, left : left + 8]
        turns = [turned(np.moveaxis(patch, 0, -1), way) for way in range(8)]
        way = next(way for way, turned in enumerate(turns) if (np.moveaxis(turned, -1, 0) == blurred).all())
        seen.add((top, left, way))
    tops, lefts, ways = (Counter(column) for column in zip(*seen, strict=True))
    assert set(tops) == set(range(20 - 8 + 1))
    assert set(lefts) == set(range(24 - 8 + 1))
    assert set(ways) == set(range(8))


def test_a_request_decides_everything(roots: tuple[Path, Path]) -> None:
    dataset, again = DeblurPairDataset(options(*roots)), DeblurPairDataset(options(*roots))
    request = PatchRequest(1, 16, 5)
    first = dataset[request]
    random.seed(99)
    dataset[0]
    assert torch.equal(first["lq"], again[request]["lq"])
    assert first["lq"].shape == (3, 16, 16)
    assert not torch.equal(first["lq"], again[PatchRequest(1, 16, 6)]["lq"])


def test_the_whole_image_may_be_the_patch_and_is_not_turned_without_augment(roots: tuple[Path, Path]) -> None:
    dataset = DeblurPairDataset(options(*roots, augment=False))
    for seed in range(8):
        top_left = positions(dataset[PatchRequest(0, 20, seed)]["lq"])[:, 0, 0]
        expected = np.mgrid[0:20, top_left[1] : top_left[1] + 20]
        assert (positions(dataset[PatchRequest(0, 20, seed)]["lq"]) == expected).all()


def test_a_number_gives_a_patch_of_the_first_stage_by_the_random_module(roots: tuple[Path, Path]) -> None:
    dataset = DeblurPairDataset(options(*roots))
    random.seed(1)
    first = dataset[0]
    random.seed(1)
    assert torch.equal(dataset[0]["gt"], first["gt"])
    assert not torch.equal(dataset[0]["gt"], first["gt"])
    assert first["gt"].shape == (3, 8, 8)
    assert first["scheduled"] is False


def test_whole_images_in_the_order_of_their_names(roots: tuple[Path, Path]) -> None:
    dataset = DeblurPairDataset(options(*roots, phase="val"))
    assert len(dataset) == 3
    items = [dataset[index] for index in range(3)]
    is_lmdb = roots[0].suffix == ".lmdb"
    expected = NAMES if is_lmdb else [str(roots[0] / f"{name}.png") for name in NAMES]
    assert [item["lq_path"] for item in items] == expected
    assert (positions(items[2]["gt"]) == np.mgrid[:20, :24]).all()
    assert set(items[0]) == {"lq", "gt", "lq_path", "gt_path"}


def test_eight_bits_grey_and_alpha(tmp_path: Path) -> None:
    colour = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    images = {"grey": colour[..., 0], "rgb": colour, "rgba": np.dstack([colour, colour[..., :1]])}
    root = write_folder(tmp_path / "images", images)
    dataset = DeblurPairDataset(options(root, root, phase="test"))
    items = {item["lq_path"]: item["lq"] for item in (dataset[index] for index in range(len(dataset)))}
    rgb = torch.from_numpy(colour[..., ::-1].copy()).permute(2, 0, 1) / 255
    assert torch.equal(items[str(root / "rgb.png")], rgb)
    assert torch.equal(items[str(root / "rgba.png")], rgb)
    assert torch.equal(items[str(root / "grey.png")], rgb[2:].expand(3, -1, -1))


def test_jpg_and_template_pair(tmp_path: Path) -> None:
    write_folder(tmp_path / "sharp", {"s/1": position_image(8, 8)})
    (tmp_path / "blur" / "s").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "blur" / "s" / "1_blurry.JPG"), np.zeros((8, 8, 3), np.uint8))
    dataset = DeblurPairDataset(options(tmp_path / "blur", tmp_path / "sharp", filename_tmpl="{}_blurry"))
    assert dataset.pairs == [("s/1_blurry", "s/1")]


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_cuts_only_what_each_stage_wants(roots: tuple[Path, Path], workers: int) -> None:
    settings = options(*roots)
    dataset = DeblurPairDataset(settings)
    dataset[0]  # opens the database here, before workers are forked
    sampler = ProgressiveBatchSampler(len(dataset), settings["patch_stages"], seed=0)
    loader = DataLoader(dataset, batch_sampler=sampler, num_workers=workers)
    batches = [(tuple(batch["lq"].shape), batch["scheduled"].all().item()) for batch in loader]
    assert batches == [((4, 3, 8, 8), True)] * 4 + [((2, 3, 16, 16), True)] * 4
    expected = torch.stack([dataset[request]["gt"] for request in sampler.global_batch(8)])
    assert torch.equal(list(loader)[-1]["gt"], expected)


def read_in_worker(store: ImageDatabase, name: str) -> tuple[int, bytes, int]:
    """Return an image, and how many databases are open before and after it is read."""
    return _environment.cache_info().currsize, store.read(name), _environment.cache_info().currsize


def test_two_data_sets_share_a_database(tmp_path: Path) -> None:
    roots = write(tmp_path, "lmdb")
    one, other = DeblurPairDataset(options(*roots, phase="val")), DeblurPairDataset(options(roots[0], roots[0]))
    assert (positions(one[0]["lq"]) == np.mgrid[:20, :24]).all()
    assert torch.equal(other[0]["lq"][0], torch.zeros(8, 8))


def test_forked_worker_opens_the_database_itself(tmp_path: Path) -> None:
    store = ImageDatabase(write(tmp_path, "lmdb")[0])
    expected = store.read("a")
    assert _environment.cache_info().currsize > 0
    with ProcessPoolExecutor(1, get_context("fork")) as worker:
        inherited, found, own = worker.submit(read_in_worker, store, "a").result()
    assert found == expected
    assert (inherited, own) == (0, 1)
    assert store.read("a") == expected


def test_validation_leaves_the_generator_of_the_training_alone(roots: tuple[Path, Path]) -> None:
    dataset = DeblurPairDataset(options(*roots, phase="val"))
    before = random.getstate()
    dataset[0]
    assert random.getstate() == before


def test_worker_that_is_started_anew_opens_the_database_itself(roots: tuple[Path, Path]) -> None:
    dataset = DeblurPairDataset(options(*roots))
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[PatchRequest(2, 8, 3)]["lq"], dataset[PatchRequest(2, 8, 3)]["lq"])


def broken(root: Path, form: str, damage: str) -> None:
    """Damage what `write` has written."""
    blur, sharp = (
        root / ("blur.lmdb" if form == "lmdb" else "blur"),
        root / ("sharp.lmdb" if form == "lmdb" else "sharp"),
    )
    if damage == "missing":
        blur.rename(root / "elsewhere")
    elif damage == "empty folder":
        blur.rename(root / "elsewhere")
        blur.mkdir()
    elif damage == "no metadata":
        (sharp / "meta_info.txt").unlink()
    elif damage == "empty metadata":
        (sharp / "meta_info.txt").write_text("")
    elif damage == "odd metadata":
        (sharp / "meta_info.txt").write_text("a.png (20,24,3) 1\nwhat is this\n")
    elif damage == "foreign metadata":
        (sharp / "meta_info.txt").write_bytes(b"ab\xff\xfe")
    elif damage == "metadata that cannot be read":
        (sharp / "meta_info.txt").unlink()
        (sharp / "meta_info.txt").mkdir()
    elif damage == "truncated data":
        os.truncate(sharp / "data.mdb", (sharp / "data.mdb").stat().st_size - 1)
    elif damage == "no data":
        (sharp / "data.mdb").unlink()


@pytest.mark.parametrize(
    ("form", "damage", "message"),
    [
        ("disk", "missing", r"blur: there is no such folder; correct the path, or make it by"),
        ("lmdb", "missing", r"blur\.lmdb: there is no such LMDB; correct the path, or make it by"),
        ("disk", "empty folder", r"blur: holds no images \(\.png, \.jpg, \.jpeg, "),
        ("lmdb", "no metadata", r"sharp\.lmdb.meta_info\.txt is missing"),
        ("lmdb", "empty metadata", r"sharp\.lmdb.meta_info\.txt: lists no images"),
        ("lmdb", "odd metadata", r"meta_info\.txt, line 2: 'what is this' is not"),
        ("lmdb", "foreign metadata", r"sharp\.lmdb.meta_info\.txt: is no text in UTF-8 \(byte 2\)"),
        ("lmdb", "metadata that cannot be read", r"sharp\.lmdb.meta_info\.txt: cannot be read: Is a directory"),
        ("lmdb", "truncated data", r"sharp\.lmdb: data\.mdb is truncated \(\d+ of \d+ bytes\)"),
        ("lmdb", "no data", r"sharp\.lmdb: cannot be opened as LMDB"),
    ],
)
def test_missing_data_is_named(tmp_path: Path, form: str, damage: str, message: str) -> None:
    roots = write(tmp_path, form)
    broken(tmp_path, form, damage)
    with pytest.raises(DataError, match=f"^datasets: train: images: .*{message}") as caught:
        DeblurPairDataset(options(*roots))
    assert "\n" not in str(caught.value)


def test_images_without_partner_are_named(tmp_path: Path) -> None:
    blur = write_folder(tmp_path / "blur", {name: position_image(8, 8) for name in "abx"})
    sharp = write_folder(tmp_path / "sharp", {name: position_image(8, 8) for name in "abcdefg"})
    with pytest.raises(
        DataError, match=r"do not pair: .*blur lacks 5: c, d, e, \.\.\.; .*sharp lacks 1: the partner of x"
    ):
        DeblurPairDataset(options(blur, sharp))


def test_two_images_of_one_name_are_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "blur", {"a": position_image(8, 8)})
    (root / "a.jpg").write_bytes((root / "a.png").read_bytes())
    with pytest.raises(DataError, match=r"a\.(png|jpg) and .*a\.(png|jpg) have the same name"):
        DeblurPairDataset(options(root, root))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda data: data[: len(data) // 2], r"sharp.a\.png is truncated"),
        (lambda data: b"not an image", r"sharp.a\.png is neither a PNG nor a JPEG"),
        (lambda data: b"", r"sharp.a\.png is empty"),
        (lambda data: data[:60] + bytes([data[60] ^ 255]) + data[61:], r"sharp.a\.png is damaged"),
    ],
)
def test_damaged_image_is_named(tmp_path: Path, content: Callable[..., Any], message: str) -> None:
    roots = write(tmp_path, "disk")
    path = roots[1] / "a.png"
    path.write_bytes(content(path.read_bytes()))
    dataset = DeblurPairDataset(options(*roots))
    with pytest.raises(DataError, match=message) as caught:
        dataset[PatchRequest(0, 8, 0)]
    assert "\n" not in str(caught.value)


def test_image_that_only_the_metadata_knows_is_named(tmp_path: Path) -> None:
    roots = write(tmp_path, "lmdb")
    for root in roots:
        with (root / "meta_info.txt").open("a") as file:
            file.write("b.png (20,24,3) 1\n")
    dataset = DeblurPairDataset(options(*roots, phase="val"))
    with pytest.raises(DataError, match=r"'b' is in meta_info\.txt but not in data\.mdb"):
        dataset[1]


def test_small_image_is_named_before_training_if_the_database_knows_it(tmp_path: Path) -> None:
    roots = write(tmp_path, "lmdb", size=(12, 24))
    with pytest.raises(DataError, match=r"blur\.lmdb: a is 24x12, smaller than the patch of 16x16"):
        DeblurPairDataset(options(*roots))


def test_small_image_in_a_folder_is_named_when_it_is_read(tmp_path: Path) -> None:
    dataset = DeblurPairDataset(options(*write(tmp_path, "disk", size=(12, 24))))
    with pytest.raises(DataError, match=r"blur.a\.png is 24x12, smaller than the patch of 16x16"):
        dataset[PatchRequest(0, 16, 0)]


def test_images_of_two_sizes_are_named(tmp_path: Path) -> None:
    blur = write_folder(tmp_path / "blur", {"a": position_image(20, 24)})
    sharp = write_folder(tmp_path / "sharp", {"a": position_image(24, 20)})
    with pytest.raises(DataError, match=r"blur.a\.png is 24x20, .*sharp.a\.png is 20x24"):
        DeblurPairDataset(options(blur, sharp, phase="val"))[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataroot_lq": None}, "datasets: train: images: dataroot_lq: missing"),
        ({"io_backend": {"type": "tape"}}, "io_backend: type: expected lmdb or disk, not 'tape'"),
        ({"patch_stages": None}, "patch_stages: missing"),
        ({"filename_tmpl": "{name}"}, r"filename_tmpl: '\{name\}'"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DeblurPairDataset({**options(*write(tmp_path, "disk")), **changes})


TALL = [{"iters": 1, "patch_size": 16, "batch_size": 1}, {"iters": 1, "patch_size": [22, 18], "batch_size": 1}]


def test_images_smaller_than_the_patch_are_continued_by_zeros_and_flipped_in_four_ways(tmp_path: Path) -> None:
    """As the published training on RealBlur: 20x17 images in patches of 22x18, and cut to 16x16 from the same."""
    dataset = DeblurPairDataset(
        options(*write(tmp_path, "lmdb", (20, 17)), patch_stages=TALL, augment="flips", zero_pad=True)
    )
    rows, columns = np.mgrid[:20, :17]
    whole = np.zeros((22, 18, 3))
    whole[:20, :17] = np.stack([np.ones_like(rows), columns, rows], axis=-1)  # red is 1 for the sharp image
    flips = {
        f: {"": whole, "x": whole[:, ::-1], "y": whole[::-1], "xy": whole[::-1, ::-1]}[f] for f in ("", "x", "y", "xy")
    }
    seen: Counter[str] = Counter()
    for seed in range(60):
        found = np.rint(np.moveaxis(dataset[PatchRequest(0, (22, 18), seed)]["gt"].numpy(), 0, -1) * 65535)
        seen.update(name for name, flipped in flips.items() if (found == flipped).all())
    assert set(seen) == set(flips)
    assert sum(seen.values()) == 60
    tops = set()
    for seed in range(80):
        item = dataset[PatchRequest(0, 16, seed)]
        assert item["lq"].shape == (3, 16, 16)
        tops.add(int(positions(item["gt"])[0].max()))
    assert tops == {15, 16, 17, 18, 19}  # the last row of the image, or that of the patch where it ends before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"patch_stages": TALL, "zero_pad": True}, "patches that are no squares cannot be turned; set flips"),
        ({"augment": "turns"}, "augment: expected true, false or flips, not 'turns'"),
        ({"patch_stages": TALL, "augment": "flips"}, "smaller than the patch of 18x22; .* or set zero_pad: true"),
    ],
)
def test_patches_that_cannot_be_cut_or_turned_are_refused(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises((OptionError, DataError), match=message):
        DeblurPairDataset(options(*write(tmp_path, "lmdb", (20, 17)), **more))


def test_images_of_16_bits_are_read_by_their_upper_bytes_where_8_are_asked_for(tmp_path: Path) -> None:
    image = np.arange(20 * 24 * 3, dtype=np.uint16).reshape(20, 24, 3) * 45
    roots = (write_folder(tmp_path / name, {"a": image}) for name in ("blur", "sharp"))
    item = DeblurPairDataset(options(*roots, phase="test", bit_depth=8))[0]
    read = cv2.imread(str(tmp_path / "blur" / "a.png"))  # what everybody's reader gives
    np.testing.assert_array_equal(np.rint(item["lq"].numpy() * 255), np.moveaxis(read[:, :, ::-1], -1, 0))


def test_all_pairs_whose_sizes_differ_are_named(tmp_path: Path) -> None:
    sizes = {"a": (20, 24), "b": (20, 24), "c": (20, 24), "d": (20, 24)}
    sharp = write_lmdb(tmp_path / "sharp.lmdb", {name: position_image(*size) for name, size in sizes.items()})
    blurred = sizes | {"b": (20, 23), "d": (19, 24)}
    lq = write_lmdb(tmp_path / "blur.lmdb", {name: position_image(*size) for name, size in blurred.items()})
    with pytest.raises(DataError, match=r"b is 23x20, .*b is 24x20.*; the same holds for 1 more: d$"):
        DeblurPairDataset(options(lq, sharp))


def test_one_picture_of_a_pair_that_is_turned_is_refused(tmp_path: Path) -> None:
    for side in ("blur", "sharp"):
        (tmp_path / side).mkdir()
        exif = Image.Exif()
        exif[0x0112] = 3 if side == "sharp" else 1
        Image.new("RGB", (24, 20)).save(tmp_path / side / "a.jpg", exif=exif)
    data = DeblurPairDataset(options(tmp_path / "blur", tmp_path / "sharp"))
    with pytest.raises(DataError, match=r"train: images: only one of a pair is turned .*blur/a.jpg 1, .*sharp/a.jpg 3"):
        data[0]


@pytest.mark.parametrize(
    ("root", "command"),
    [
        ("data/GoPro/train/blur.lmdb", "gopro --root DOWNLOADED --out data/GoPro"),
        ("/data/SR/Set5/HRx2.lmdb", "sr-benchmarks --root DOWNLOADED --out /data/SR"),
        ("REDS/val300/blur", "reds --root DOWNLOADED --out REDS"),
        ("mine/blur", "pairs --blurred DIR --sharp DIR --out DIR"),
    ],
)
@pytest.mark.parametrize("form", ["disk", "lmdb"])
def test_missing_data_names_the_phase_and_the_command(root: str, command: str, form: str) -> None:
    with pytest.raises(DataError) as caught:
        DeblurPairDataset(options(Path(root), Path(root), phase="val", io_backend={"type": form}))
    assert str(caught.value).startswith(f"datasets: val: images: {root}: there is no such")
    assert str(caught.value).endswith(f"make it by python -m datasets_prep {command}")
