"""The page, built on gradio."""

import html
import os
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillAtWork
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deeprftv2_arch.checkpoints.recognition import describe
from deeprftv2_arch.demo.folders import own_folder
from deeprftv2_arch.demo.guard import Guard, Room, own_names
from deeprftv2_arch.demo.trial import Trial, has_kernels, try_image
from deeprftv2_arch.errors import DeepRFTv2Error, OptionError, one_line
from deeprftv2_arch.restoring.batch.restore_files import about
from deeprftv2_arch.restoring.image_kinds import IMAGE_EXTENSIONS
from deeprftv2_arch.restoring.restorer import Restorer

MAX_KEPT = 2**31  # bytes of all images
MINUTE, HOUR = 60, 3600  # seconds: how often images are looked through, and how old they get
WAITING = 16  # images that may wait for their turn
FORMATS = ("png", "jpg", "webp", "tif")  # of what is downloaded
TALLEST = 640  # pixels of the screen for an image
EXAMPLE = Path(__file__).with_name("example.jpg")
TICK = 0.5  # seconds after which the page says anew how far an image is
LEGEND = """\
**Estimated kernels.** Each square is a kernel that the network has found for this image and applies to one of its \
features, the strongest first; its middle is the pixel itself. Orange adds what lies there to the pixel, blue takes it \
away, black leaves it out."""


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise OptionError(f"the page needs gradio ({error}): pip install 'deeprftv2_arch[demo]'") from error
    return gradio


def _without_traceback(gradio: Any, preprocess: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Keep the traceback of what gradio itself refuses out of the terminal; the page says why."""

    def quiet(payload: Any) -> Any:
        try:
            return preprocess(payload)
        except gradio.Error as error:
            error.print_exception = False
            raise

    return quiet


@contextmanager
def served(
    restorer: Restorer,
    host: str,
    port: int | None,
    max_upload: int,
    max_kept: int = MAX_KEPT,
    names: Collection[str] = (),
) -> Iterator[str]:
    """Serve the page as long as the context lasts; afterwards no file of it is left.

    Args:
        restorer: What restores the images, one at a time.
        host: Address of this machine to listen on, IPv4 or IPv6.
        port: Port; None for the first free one from 7860.
        max_upload: The most bytes of an image's file.
        max_kept: The most bytes of all images that are kept; the oldest ones go earlier for that.
        names: What this machine is called beside ``localhost`` and its addresses; see :mod:`.guard`.

    Yields:
        The address of the page.

    Raises:
        OptionError: Gradio is not installed, or host and port cannot be listened on.
    """
    host = host.strip("[]")
    with own_folder() as folder:
        kept = folder / "kept"  # uploads and copies of what is shown
        os.environ["GRADIO_TEMP_DIR"] = str(kept)
        # It asks itself whether it runs, which a proxy could not answer.
        os.environ["no_proxy"] = ",".join(filter(None, [os.environ.get("no_proxy"), "localhost", host]))
        gradio = _gradio()  # which makes a folder there already when it is imported
        page = _page(gradio, restorer, max_upload, folder)
        guard = {"names": own_names(host, names), "room": Room(kept, max_kept)}
        try:
            _, address, _ = page.launch(
                server_name=f"[{host}]" if ":" in host else host,
                server_port=port,
                max_file_size=max_upload,
                theme=gradio.themes.Default(font="system-ui", font_mono="monospace"),
                footer_links=[],
                share=False,
                inline=False,
                ssr_mode=False,
                mcp_server=False,
                pwa=False,
                run_history=False,
                enable_monitoring=False,
                prevent_thread_lock=True,
                quiet=True,
                app_kwargs={"middleware": [(Guard, (), guard)]},  # as FastAPI takes it
            )
        except OSError as error:
            where = host if port is None else f"{host}:{port}"
            raise OptionError(f"{where} cannot be listened on; choose another --host or --port") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def _page(gradio: Any, restorer: Restorer, max_upload: int, folder: Path) -> Any:
    estimates = has_kernels(restorer)

    def forget() -> list[Any]:
        return [None, "", gradio.DownloadButton(value=None, interactive=False), *([None] if estimates else [])]

    def restore(upload: str, suffix: str, progress: Any = gradio.Progress()) -> Iterator[list[Any]]:  # noqa: B008
        with TemporaryDirectory(dir=folder) as made:  # gradio has copied the files by the time that it asks for more
            try:
                trial = _watched(
                    restorer,
                    lambda announce: try_image(restorer, Path(upload), Path(made), f".{suffix}", announce),
                    progress,
                )
            except DeepRFTv2Error as error:
                message = one_line(error).replace(upload, Path(upload).name)
                raise gradio.Error(html.escape(message), duration=None, print_exception=False) from error
            text = html.escape(trial.text).replace("\n", "<br>")
            download = gradio.DownloadButton(value=trial.restored, interactive=True)
            yield [(trial.before, trial.after), text, download, *([trial.kernels] if estimates else [])]

    def restore_example(suffix: str, progress: Any = gradio.Progress()) -> Iterator[list[Any]]:  # noqa: B008
        yield from restore(str(EXAMPLE), suffix, progress)

    with gradio.Blocks(title="DeepRFTv2", analytics_enabled=False, delete_cache=(MINUTE, HOUR)) as page:
        done = "restored" if restorer.upscale == 1 else f"enlarged {restorer.upscale} times"
        most = f"{max_upload / 2**20:.4g} MiB and {restorer.max_pixels:,} pixels"
        network = html.escape(describe(restorer.network.state_dict()))
        gradio.Markdown(f"# DeepRFTv2\nDrop an image of up to {most} to have it {done}.\n\nNetwork: {network}.")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                upload = gradio.File(label="Image", file_types=list(IMAGE_EXTENSIONS), height=150)
                example = gradio.Button("Try an example", size="md")
                suffix = gradio.Radio(list(FORMATS), value="png", label="Format of the download")
                for asked in (upload, suffix):
                    asked.preprocess = _without_traceback(gradio, asked.preprocess)
                text = gradio.HTML()
                download = gradio.DownloadButton("Download", variant="primary", size="md", interactive=False)
                if estimates:
                    gradio.Markdown(LEGEND)
                    kernels = gradio.Image(format="png", show_label=False, interactive=False, buttons=[])
            with gradio.Column(scale=3):
                slider = gradio.ImageSlider(
                    label="Before and after", interactive=False, max_height=TALLEST, buttons=["fullscreen"]
                )
                # The handle between the two follows the mouse alone; this one, the arrow keys too.
                border = gradio.Slider(0, 100, 50, step=5, label="Border between before and after, in per cent")
        results = [slider, text, download, *([kernels] if estimates else [])]
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        work = {
            "outputs": results,
            "show_progress_on": slider,
            "trigger_mode": "multiple",
            "concurrency_limit": 1,
            "concurrency_id": "restoring",
            "api_visibility": "private",
        }
        # The last image goes at once; when this one is done or refused, the next one can be dropped.
        restored = upload.upload(forget, outputs=results, **quiet).then(restore, [upload, suffix], **work)
        for ready in (restored.success, restored.failure):  # "then" is not told of failures
            ready(lambda: None, outputs=upload, **quiet)
        border.input(lambda place: gradio.ImageSlider(slider_position=place), border, slider, queue=False, **quiet)
        example.click(forget, outputs=results, **quiet).then(restore_example, suffix, **work)
    return page.queue(max_size=WAITING, api_open=False)


def _watched(
    restorer: Restorer, work: Callable[[Callable[[int, int], None]], Trial], progress: Callable[..., Any]
) -> Trial:
    """Do the work in a thread, and say meanwhile how much of it is done, by the time that it is likely to take.

    Args:
        restorer: What works.
        work: Takes what it tells the height and the width of its image before it begins.
        progress: Takes a share, and a text as ``desc``.
    """
    begun: list[tuple[float, int, int]] = []
    with ThreadPoolExecutor(1) as thread:
        trial: Future[Trial] = thread.submit(work, lambda *size: begun.append((time.monotonic(), *size)))
        while True:
            try:
                return trial.result(TICK)
            except StillAtWork:
                if begun:
                    start, height, width = begun[0]
                    seconds = restorer.seconds_for(height, width)  # better known with every tile
                    progress(
                        min(0.99, (time.monotonic() - start) / seconds), desc=f"Restoring, {about(seconds)} in all"
                    )
