"""What is to be measured: networks of option files, and of checkpoints, on the sets of such a file or of a folder."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from deeprftv2_arch.checkpoints.building import NetworkOfCheckpoint, network_of_checkpoint
from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.measuring.data_folder import content_for
from deeprftv2_arch.metrics.protocols import find_protocol
from deeprftv2_arch.networks.protocol import traits_of
from deeprftv2_arch.options.arguments import Arguments
from deeprftv2_arch.options.loading import Run, read_content, run_of
from deeprftv2_arch.options.option_file import Content, change_options
from deeprftv2_arch.restoring.pretrained import pretrained_file


def runs_of_checkpoints(
    checkpoints: Sequence[Path],
    files: Sequence[Path],
    protocol: str | None,
    data: Path | None,
    arguments: Arguments,
    root: Path,
    evaluates: bool,
) -> list[Run]:
    """Return a run for every checkpoint, at the scale of its network.

    Args:
        checkpoints: The files of the weights, which tell the networks, or names of those that come with this package.
        files: Option files, whose sets are measured on: those of the first one of the network's scale.
        protocol: Without option files, name of the protocol whose sets are measured on.
        data: Without option files, the folder that holds these.
        arguments: The command line.
        root: Folder that gets ``results/``.
        evaluates: Whether it is for an evaluation.

    Raises:
        CheckpointError: A file cannot be read, or its weights do not tell their network.
        OptionError: There is nothing to measure on.
    """
    if data is not None and not data.is_dir():
        raise OptionError(f"--data {data}: there is no such folder; name the one that holds the test sets")
    contents = [read_content(replace(arguments, opt=file), root, is_train=False) for file in files]
    runs = []
    for checkpoint in map(pretrained_file, checkpoints):
        scale = traits_of(network_of_checkpoint(checkpoint)).upscale
        if data is None:
            content = _of_scale(contents, scale, checkpoint)
        else:
            content = content_for(find_protocol(protocol, "--protocol"), data, scale, name_of_run(checkpoints))
            change_options(content, arguments.force_yml)
        content |= {
            "model_type": "SRModel",  # BasicSR's own, which takes any network
            "network_g": {"type": NetworkOfCheckpoint.__name__, "checkpoint": str(checkpoint)},
            "path": {},
        }
        runs.append(run_of(content, replace(arguments, opt=checkpoint), root, False, evaluates))
    return runs


def name_of_run(checkpoints: Sequence[Path]) -> str:
    """Return the name of a run, and of its folder, that measures checkpoints without an option file."""
    more = len(checkpoints) - 1
    return checkpoints[0].stem + (f"_and_{more}_more" if more else "")


def _of_scale(contents: Sequence[Content], scale: int, checkpoint: Path) -> Content:
    for content in contents:
        if content.get("scale", 1) == scale:
            return deepcopy(content)
    raise OptionError(
        f"{checkpoint}: the network enlarges {scale} times, but no option file is of scale: {scale}; name one by -opt"
        if scale > 1
        else f"{checkpoint}: the network does not enlarge, but no option file is of scale: 1; name one by -opt"
    )
