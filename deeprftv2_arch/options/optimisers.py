"""The optimisers that option files name, beside those that BasicSR knows."""

from collections.abc import Callable

from torch.optim import Adam, AdamW, Optimizer

from deeprftv2_arch.options.muon import Muon

OPTIMISERS: dict[str, Callable[..., Optimizer]] = {"Adam": Adam, "AdamW": AdamW, "Muon": Muon}
