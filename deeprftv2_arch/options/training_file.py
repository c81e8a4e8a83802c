"""An option file for training, read for a test or an evaluation of what it has trained: by its section ``val``."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

OF_TRAINING = ("train", "logger")
# Of ``path``: the weights to start from, which the trained network's own file has.
STARTS = ("resume_state", "ignore_resume_networks", "pretrain_network_kernel")


def is_training_file(content: Mapping[str, Any]) -> bool:
    """Tell whether an option file trains."""
    data = content.get("datasets")
    return "train" in content and isinstance(data, Mapping) and "train" in data


def as_testing(content: Mapping[str, Any], start: object, root: Path) -> dict[str, Any]:
    """Return what a training file says of a test: its data sets ``val``, metrics, network, and the trained weights.

    Args:
        content: The file, with the changes of the command line.
        start: Its ``path: pretrain_network_g`` before these changes, the weights that the training starts from.
        root: Folder that holds ``experiments/``.
    """
    testing = {key: deepcopy(value) for key, value in content.items() if key not in OF_TRAINING}
    testing["datasets"] = {name: section for name, section in testing["datasets"].items() if name != "train"}
    if isinstance(testing.get("val"), dict):
        testing["val"].pop("val_freq", None)
    path = testing["path"] = dict(testing.get("path") or {})
    for key in STARTS:
        path.pop(key, None)
    if content.get("model_type") != "KernelEstimationModel":  # whose network does not hold the flow
        path.pop("pretrain_network_flow", None)
    if path.get("pretrain_network_g") == start:
        trained = root / "experiments" / str(content.get("name")) / "models" / "net_g_latest.pth"
        path |= {"pretrain_network_g": str(trained), "param_key_g": None, "strict_load_g": True}
    return testing
