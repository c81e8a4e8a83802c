"""`python -m deeprftv2_arch demo`: what the page is given, and the page itself in a real browser."""

import builtins
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from restoring_helpers import TINY_DEBLURRING, Enlarging, noise

from deeprftv2_arch import Restorer
from deeprftv2_arch.__main__ import main
from deeprftv2_arch.common.kernel_images import estimated_kernel_sheet
from deeprftv2_arch.demo.trial import has_kernels, try_image
from deeprftv2_arch.errors import DataError, OptionError
from deeprftv2_arch.networks.deeprftv2 import DeepRFTv2
from deeprftv2_arch.networks.identity import Identity
from deeprftv2_arch.restoring.image_files import read_image, write_image

PATIENCE = 90  # seconds; machines that test are busy
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --no-proxy-server --window-size=1200,900"
)
REQUEST = "Network.requestWillBeSent"
WITHOUT_PROXY = build_opener(ProxyHandler({}))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Save a tiny network, not trained."""
    torch.manual_seed(0)
    torch.save({"params": DeepRFTv2(**TINY_DEBLURRING).state_dict()}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def read(path: Path) -> np.ndarray:
    return read_image(path)[0]


# What the page is given


def test_deep_image_with_alpha(tmp_path: Path, checkpoint: Path) -> None:
    restorer = Restorer.from_checkpoint(checkpoint, device="cpu", tile=(32, 8))
    image = noise(40, 30, 4, dtype=np.uint16)
    write_image(tmp_path / "my photo.png", image)
    expected = restorer(image)
    trial = try_image(restorer, tmp_path / "my photo.png", tmp_path)

    assert trial.restored.name == "my photo_restored.png"
    np.testing.assert_array_equal(read(trial.restored), expected)
    assert not np.array_equal(expected, image)
    for shown, what in ((trial.before, image), (trial.after, expected)):
        opacity = what[:, :, 3:].astype(np.float64) / 65535
        blended = opacity * what[:, :, :3] + (1 - opacity) * 65535
        assert read(shown).dtype == np.uint16
        np.testing.assert_allclose(read(shown), blended, atol=0.51)
    np.testing.assert_array_equal(trial.kernels, estimated_kernel_sheet(restorer.kernels(image)))
    assert re.fullmatch(
        r"my photo\.png\n30 × 40 → 30 × 40 pixels\nrestored in tiles of 32 that share 8 pixels in \d+\.\d seconds",
        trial.text,
    )


def test_enlarged_image_and_network_without_estimators(tmp_path: Path) -> None:
    restorer = Restorer(Enlarging(2), "cpu")
    image = noise(20, 30, dtype=np.uint16)
    write_image(tmp_path / "grey.png", image)
    trial = try_image(restorer, tmp_path / "grey.png", tmp_path)
    twice = np.kron(image, np.ones((2, 2), np.uint16))
    for path in (trial.before, trial.after, trial.restored):
        np.testing.assert_array_equal(read(path), twice)
    assert trial.kernels is None
    assert not has_kernels(restorer)
    assert trial.text.split("\n")[1:2] == ["30 × 20 → 60 × 40 pixels"]
    assert "restored whole in" in trial.text


def test_format_to_keep_and_time_told_before(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(20, 30, 3))
    write_image(tmp_path / "alpha.png", noise(20, 30, 4))
    restorer = Restorer(Identity(), "cpu")
    told: list[tuple[int, int]] = []
    for name, suffix, kept in (("a", ".webp", "a_restored.webp"), ("a", ".jpg", "a_restored.jpg"), ("a", ".tif", None)):
        trial = try_image(restorer, tmp_path / f"{name}.png", tmp_path, suffix, lambda *size: told.append(size))
        assert trial.restored.name == kept or kept is None
        assert read(trial.restored).shape == (20, 30, 3)
    assert try_image(restorer, tmp_path / "alpha.png", tmp_path, ".jpg").restored.name == "alpha_restored.png"
    assert told == [(20, 30)] * 3


def test_share_of_the_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from deeprftv2_arch.demo import page

    monkeypatch.setattr(page, "TICK", 0.02)
    restorer = Restorer(Identity(), "cpu")
    monkeypatch.setattr(restorer, "seconds_for", lambda height, width: height * width)
    told: list[tuple[float, str]] = []

    def work(announce: Callable[[int, int], None]) -> Any:
        announce(2, 100)
        monkeypatch.setattr(restorer, "seconds_for", lambda height, width: 0.01)  # better known meanwhile
        time.sleep(0.2)
        return "done"

    done: Any = page._watched(restorer, work, lambda share, desc: told.append((share, desc)))
    assert done == "done"
    assert told[-1] == (0.99, "Restoring, less than a second in all")
    with pytest.raises(DataError):
        page._watched(restorer, lambda announce: raised(DataError("torn")), print)


def raised(error: Exception) -> Any:
    raise error


def test_the_example_is_an_image() -> None:
    from deeprftv2_arch.demo.page import EXAMPLE

    assert read(EXAMPLE).shape == (300, 451, 3)


def test_image_is_shown_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(20, 30, 3)).save(tmp_path / "lying.png", exif=exif)
    with Image.open(tmp_path / "lying.png") as stored:
        upright = np.array(ImageOps.exif_transpose(stored))
    trial = try_image(Restorer(Identity(), "cpu"), tmp_path / "lying.png", tmp_path)
    assert upright.shape == (30, 20, 3)
    np.testing.assert_array_equal(read(trial.before), upright)
    np.testing.assert_array_equal(read(trial.after), upright)


def test_smallest_image(tmp_path: Path, checkpoint: Path) -> None:
    write_image(tmp_path / "one.png", noise(1, 1, 3))
    restorer = Restorer.from_checkpoint(checkpoint, device="cpu")
    trial = try_image(restorer, tmp_path / "one.png", tmp_path)
    np.testing.assert_array_equal(read(trial.restored), restorer(noise(1, 1, 3)))


def test_too_many_pixels(tmp_path: Path) -> None:
    write_image(tmp_path / "large.png", noise(10, 11))
    with pytest.raises(DataError, match="announces 11x10 pixels"):
        try_image(Restorer(Identity(), "cpu", max_pixels=109), tmp_path / "large.png", tmp_path)


# What the command refuses


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> str:
    """Run the command; return the one line that it ends with."""
    monkeypatch.setattr(sys, "argv", ["deeprftv2_arch", "demo", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", 0], "--port: expected a number in 1..65535, got 0"),
        (["--max-pixels", 0], "--max-pixels: expected a number above 0, got 0"),
        (["--max-upload", "much"], "'much' is no amount of memory"),
    ],
)
def test_refused_arguments(
    words: list[object], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert message in refused(capsys, monkeypatch, "--checkpoint", "net.pth", *words)


def test_extra_that_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    imported = builtins.__import__

    def without_gradio(name: str, *others: Any) -> Any:
        if name == "gradio":
            raise ImportError("No module named 'gradio'")
        return imported(name, *others)

    monkeypatch.setattr(builtins, "__import__", without_gradio)
    line = refused(capsys, monkeypatch, "--checkpoint", checkpoint)
    assert "the page needs gradio (No module named 'gradio'): pip install 'deeprftv2_arch[demo]'" in line


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gradio") is None, reason="needs gradio (the extra demo)")
def test_port_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deeprftv2_arch.demo.page import served

    for name in ("GRADIO_TEMP_DIR", "no_proxy"):  # put back at the end
        monkeypatch.setenv(name, "")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        page = served(Restorer(Identity(), "cpu"), "127.0.0.1", port, 1000)
        with pytest.raises(OptionError, match=f"127.0.0.1:{port} cannot be listened on; choose another --host"), page:
            pass


# The page


def wait_for(condition: Callable[[], Any]) -> Any:
    """Return what the condition gives once it is true."""
    until = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_command(folder: Path, *words: object) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run the command with its temporary files in a folder; give the process and the address that it tells."""
    folder.mkdir()
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",  # as here
        "TMPDIR": str(folder),
        "HTTP_PROXY": "http://127.0.0.1:9",  # where nobody answers
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "deeprftv2_arch", "demo", *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where jobs in the background ignore it
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.endswith(" shows the page; Ctrl-C ends it\n"), process.communicate()
        yield process, line.split()[0]
    finally:
        process.kill()
        process.communicate()


@contextmanager
def browser(profile: Path, downloads: Path) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in [*FLAGS.split(), f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """What a visitor does on the page, and sees of it."""

    def __init__(self, driver: Any, address: str, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads
        driver.get(address)

    def upload(self, path: Path) -> None:
        """Drop a file as soon as one can be dropped."""
        wait_for(lambda: self._find("input[type=file]"))[0].send_keys(str(path))

    def text(self) -> str:
        return str(self.driver.execute_script("return document.body.innerText"))

    def shows(self, words: str) -> str:
        """Wait until a text is there; return all that is."""
        wait_for(lambda: words in self.text())
        return self.text()

    def images(self, number: int) -> list[np.ndarray]:
        """Wait until so many images are shown, all of them loaded; return their pixels."""
        script = "return [...document.images].filter(i => i.complete && i.naturalWidth).map(i => i.src)"
        wait_for(lambda: len(self.driver.execute_script(script)) == number)
        cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in self.driver.get_cookies())
        urls = self.driver.execute_script(script)
        return [self._decoded(WITHOUT_PROXY.open(Request(url, headers={"Cookie": cookies})).read()) for url in urls]

    def download(self, name: str) -> np.ndarray:
        """Click on the button; return the image that comes."""
        self._button().click()
        path = self.downloads / name
        wait_for(path.is_file)
        return self._decoded(path.read_bytes())

    def offers_download(self) -> bool:
        return not self._button("b => b.disabled")

    def asked(self) -> list[str]:
        """All that the browser has asked the network for."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        requests = [event["params"]["request"]["url"] for event in events if event["method"] == REQUEST]
        return [url for url in requests if urlsplit(url).scheme in ("http", "https", "ws", "wss")]

    def _find(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def _button(self, look: str = "b => b") -> Any:
        """Return the button, or what a function of JavaScript sees of it; at once, as the page may draw it anew."""
        named = "[...document.querySelectorAll('button')].filter(b => b.innerText.trim() === 'Download')"
        return wait_for(lambda: self.driver.execute_script(f"return {named}.map({look})"))[0]

    @staticmethod
    def _decoded(data: bytes) -> np.ndarray:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return image if image.ndim == 2 else image[:, :, [2, 1, 0, 3][: image.shape[2]]]


def photograph(height: int, width: int) -> np.ndarray:
    data = pytest.importorskip("skimage.data", reason="needs the photographs of scikit-image")
    return np.ascontiguousarray(data.astronaut()[:height, 150 : 150 + width])


def check_restored(page: Page, path: Path, restorer: Restorer) -> None:
    """Assert that the page restores an image as the interface in Python does, and shows and hands out just that."""
    image, expected = read(path), restorer(path)
    page.upload(path)
    height, width = expected.shape[:2]
    text = page.shows(f"{path.name}\n{width} × {height} → {width} × {height} pixels\nrestored whole in ")
    assert re.search(r"restored whole in \d+\.\d seconds\n", text)
    shown = page.images(3)
    for pixels in (image, expected, estimated_kernel_sheet(restorer.kernels(image))):
        assert any(np.array_equal(one, pixels) for one in shown)
    restored = page.download(f"{path.stem}_restored.png")
    assert restored.dtype == image.dtype
    np.testing.assert_array_equal(restored, expected)
    assert not np.array_equal(expected, image)


def check_refused(page: Page, path: Path, message: str, place: Path) -> None:
    """Assert that the page says why it does not restore a file, and shows nothing of the image before."""
    page.upload(path)
    text = page.shows(message)
    assert str(place) not in text
    assert "Traceback" not in text


def sent_past_the_page(address: str, data: bytes) -> int:
    """Send a file to the server as a visitor, without asking the page; return the HTTP status."""
    cookie = WITHOUT_PROXY.open(address).headers["Set-Cookie"].partition(";")[0]
    head = b'--page\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=page", "Cookie": cookie}
    request = Request(f"{address}gradio_api/upload", head + data + b"\r\n--page--\r\n", headers)
    try:
        return int(WITHOUT_PROXY.open(request).status)
    except HTTPError as error:
        return error.code


def listens_on(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, port)) == 0


def other_addresses() -> list[str]:
    """Addresses of this machine other than 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            outside = [probe.getsockname()[0]]
        except OSError:
            outside = []
    return [*outside, *(["127.0.0.2"] if sys.platform == "linux" else [])]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gradio") is None, reason="needs gradio (the extra demo)")
@pytest.mark.skipif(find_spec("selenium") is None, reason="needs selenium")
@pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs Chromium")
def test_page_in_a_browser(tmp_path: Path, checkpoint: Path) -> None:
    restorer = Restorer.from_checkpoint(checkpoint, device="cpu")
    deep = photograph(96, 128).astype(np.uint16) * 256 + noise(96, 128, 3)
    write_image(tmp_path / "the deep one.png", deep)
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(photograph(90, 120)).save(tmp_path / "lying.jpg", exif=exif)
    (tmp_path / "text.png").write_text("This is no image.")
    write_image(tmp_path / "many pixels.png", np.zeros((201, 200), np.uint8))
    (tmp_path / "many bytes.png").write_bytes(bytes(300_001))
    port, temporary, downloads = free_port(), tmp_path / "temporary", tmp_path / "downloads"
    words = ["--checkpoint", checkpoint, "--port", port, "--max-upload", 300_000, "--max-pixels", 40_000]

    with running_command(temporary, *words) as (process, address):
        assert address == f"http://127.0.0.1:{port}/"
        assert listens_on("127.0.0.1", port)
        assert [host for host in other_addresses() if listens_on(host, port)] == []
        assert [sent_past_the_page(address, bytes(size)) for size in (300_000, 300_001)] == [200, 413]
        with browser(tmp_path / "profile", downloads) as driver:
            page = Page(driver, address, downloads)
            text = page.shows("Drop an image of")
            assert "up to 0.2861 MiB and 40,000 pixels to have it restored.\n\nNetwork: DeepRFTv2" in text
            assert not page.offers_download()
            check_restored(page, tmp_path / "the deep one.png", restorer)
            check_restored(page, tmp_path / "lying.jpg", restorer)
            check_refused(page, tmp_path / "text.png", "text.png: is neither a PNG nor a JPEG", temporary)
            assert page.images(0) == []
            assert not page.offers_download()
            check_refused(page, tmp_path / "many pixels.png", "many pixels.png: announces 200x201 pixels", temporary)
            check_refused(page, tmp_path / "many bytes.png", "exceed the maximum allowed size of", temporary)
            assert {urlsplit(url).netloc for url in page.asked()} == {f"127.0.0.1:{port}"}
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert [*temporary.glob("deeprftv2_demo_*"), *temporary.glob("gradio*"), *temporary.rglob("*.png")] == []
