"""The page, built on gradio."""

import html
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deeprftv2_arch.checkpoints.variant import describe
from deeprftv2_arch.demo.trial import has_kernels, try_picture
from deeprftv2_arch.errors import DeepRFTv2Error, OptionError
from deeprftv2_arch.launch.command import one_line
from deeprftv2_arch.restoring.restorer import Restorer

HOUR = 3600  # seconds for which pictures are kept
WAITING = 16  # pictures that may wait for their turn
TALLEST = 640  # pixels of the screen for a picture


def require_gradio() -> Any:
    """Gradio, imported only now, since nothing else needs it.

    Raises:
        OptionError: It is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise OptionError(f"the page needs gradio ({error}): pip install 'deeprftv2_arch[demo]'") from error
    return gradio


@contextmanager
def served(restorer: Restorer, host: str, port: int | None, max_upload: int) -> Iterator[str]:
    """Serve the page as long as the context lasts; afterwards no file of it is left.

    Args:
        restorer: What restores the pictures, one at a time.
        host: Address of this machine to listen on.
        port: Port; None for the first free one from 7860.
        max_upload: The most bytes of a picture's file.

    Yields:
        The address of the page.

    Raises:
        OptionError: Gradio is not installed, or host and port cannot be listened on.
    """
    gradio = require_gradio()
    with TemporaryDirectory(prefix="deeprftv2_demo_", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploads and what is shown lie here
        # It asks itself whether it runs, which a proxy could not answer.
        os.environ["no_proxy"] = ",".join(filter(None, [os.environ.get("no_proxy"), "localhost", host]))
        page = _page(gradio, restorer, max_upload)
        try:
            _, address, _ = page.launch(
                server_name=host,
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
            )
        except OSError as error:
            where = host if port is None else f"{host}:{port}"
            raise OptionError(f"{where} cannot be listened on; choose another --host or --port") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def _page(gradio: Any, restorer: Restorer, max_upload: int) -> Any:
    kernels_shown = has_kernels(restorer)

    def restore(upload: str) -> Iterator[tuple[Any, ...]]:
        with TemporaryDirectory() as folder:  # gradio has copied the files by the time that it asks for more
            try:
                trial = try_picture(restorer, Path(upload), Path(folder))
            except DeepRFTv2Error as error:
                message = one_line(error).replace(upload, Path(upload).name)
                raise gradio.Error(html.escape(message), duration=None, print_exception=False) from error
            kernels = [trial.kernels] if kernels_shown else []
            yield (trial.before, trial.after), trial.text, trial.restored, *kernels

    with gradio.Blocks(title="DeepRFTv2", analytics_enabled=False, delete_cache=(HOUR, HOUR)) as page:
        gradio.Markdown(f"# DeepRFTv2\n{describe(restorer.network.state_dict())}")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                upload = gradio.File(
                    label=f"Picture: PNG or JPEG, up to {max_upload / 2**20:.4g} MiB",
                    file_types=[".png", ".jpg", ".jpeg"],
                    height=160,
                )
                text = gradio.Markdown()
                download = gradio.DownloadButton("Download the restored picture", variant="primary")
                shown = [gradio.Image(label="Estimated kernels", format="png", buttons=[])] if kernels_shown else []
            with gradio.Column(scale=3):
                slider = gradio.ImageSlider(
                    label="Before and after", interactive=False, max_height=TALLEST, buttons=["fullscreen"]
                )
        results = [slider, text, download, *shown]
        upload.upload(
            restore, upload, results, trigger_mode="always_last", concurrency_limit=1, api_visibility="private"
        )
    return page.queue(max_size=WAITING, api_open=False)
