"""What the sections of an option file may hold, as signatures: a field without a default must be there.

These classes are never instantiated; ``option_checks`` reads their fields. Networks, losses, metrics, optimisers and
schedulers need no entry here, since their own signatures say it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deeprftv2_arch.data.patch_stages import PatchStage


@dataclass(frozen=True)
class IoBackendSection:
    """``io_backend`` of a data set."""

    type: Literal["lmdb", "disk"]


@dataclass(frozen=True)
class EvaluationDataSection:
    """A validation or test set of type ``DeblurPairDataset``."""

    name: str
    type: str
    dataroot_gt: str
    dataroot_lq: str
    io_backend: IoBackendSection
    filename_tmpl: str = "{}"
    pin_memory: bool = False


@dataclass(frozen=True)
class TrainingDataSection:
    """The training set of type ``DeblurPairDataset``."""

    name: str
    type: str
    dataroot_gt: str
    dataroot_lq: str
    io_backend: IoBackendSection
    patch_stages: list[PatchStage]
    batch_size_per_gpu: int
    num_worker_per_gpu: int
    filename_tmpl: str = "{}"
    augment: bool = True
    dataset_enlarge_ratio: int = 1
    prefetch_mode: Literal["cpu", "cuda"] | None = None
    pin_memory: bool = False
    persistent_workers: bool = False


@dataclass(frozen=True)
class ScaleWeightsSection:
    """Weights of the losses at the two scales."""

    full: float = 1.0
    half: float = 1.0


@dataclass(frozen=True)
class TrainSection:
    """``train`` of an option file with ``model_type: DeblurModel``."""

    total_iter: int
    optim_g: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    losses: Mapping[str, Mapping[str, Any]]
    warmup_iter: int = -1
    scale_weights: ScaleWeightsSection | None = None
    clip_grad_norm: float | None = None
    ema_decay: float = 0
    amp: Literal["bf16", "fp16"] | None = None
    channels_last: bool = False
    compile: bool = False
    max_skipped_steps: int = 0


@dataclass(frozen=True)
class ValidationSection:
    """``val``: when and how the network is measured."""

    val_freq: int = 0
    save_img: bool = False
    suffix: str | None = None
    pbar: bool = True
    metrics: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class LoggerSection:
    """``logger``: how often the run writes what."""

    print_freq: int
    save_checkpoint_freq: int
    use_tb_logger: bool
    wandb: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PathSection:
    """``path``: where weights come from; where results go follows from the name of the run."""

    pretrain_network_g: str | None = None
    param_key_g: Literal["params", "params_ema"] = "params"
    strict_load_g: bool = True
    resume_state: str | None = None
    ignore_resume_networks: str | None = None


@dataclass(frozen=True, kw_only=True)
class CommonSections:
    """The top level, as far as training and testing share it."""

    name: str
    model_type: str
    num_gpu: int | Literal["auto"]
    datasets: Mapping[str, Mapping[str, Any]]
    network_g: Mapping[str, Any]
    path: PathSection
    plugin: Any = None
    scale: int = 1
    manual_seed: int = 0
    dist_params: Mapping[str, Any] | None = None
    find_unused_parameters: bool = False


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(CommonSections):
    """An option file for testing."""

    val: ValidationSection


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(CommonSections):
    """An option file for training."""

    train: TrainSection
    logger: LoggerSection
    val: ValidationSection | None = None
