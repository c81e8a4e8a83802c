"""The optimisers by the names that an option file has for them."""

from collections.abc import Callable

from torch import optim

from deeprftv2_arch.options.muon import Muon

OPTIMISERS: dict[str, Callable[..., optim.Optimizer]] = {"Adam": optim.Adam, "AdamW": optim.AdamW, "Muon": Muon}
