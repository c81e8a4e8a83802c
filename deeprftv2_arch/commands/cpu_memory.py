"""What commands that run a network on a CPU do about memory."""

from deeprftv2_arch.common.kept_memory import keep_freed_memory


def keep_memory_on_cpu(device: str | None = None) -> None:
    """Keep freed memory (:mod:`deeprftv2_arch.common.kept_memory`), unless the network is on a GPU.

    Args:
        device: Where the network is; None: on a GPU if there is one.
    """
    import torch

    if device == "cpu" or (device is None and not torch.cuda.is_available()):
        keep_freed_memory()
