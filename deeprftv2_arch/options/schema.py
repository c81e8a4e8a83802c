"""What the sections of an option file may hold, as signatures: a field without a default must be there.

These classes are never instantiated; ``option_checks`` reads their fields. Networks, losses, metrics, optimisers and
schedulers need no entry here, since their own signatures say it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from deeprftv2_arch.data.patches import PatchStage
from deeprftv2_arch.data.synthetic_blur import BlurSettings, Curriculum
from deeprftv2_arch.options.bounds import AtLeast, Below, NotNegative, Positive


@dataclass(frozen=True)
class IoBackendSection:
    """``io_backend`` of a data set."""

    type: Literal["lmdb", "disk"]


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """What the loops read of a data set of any type."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True)
class EvaluationDataSection(DataSection):
    """A validation or test set of a type that this project registers."""

    dataroot_gt: str
    dataroot_lq: str
    io_backend: IoBackendSection
    filename_tmpl: str = "{}"
    bit_depth: Literal[8] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingDataSection(EvaluationDataSection):
    """The training set of a type that this project registers."""

    patch_stages: list[PatchStage]
    batch_size_per_gpu: Positive
    num_worker_per_gpu: NotNegative
    augment: bool | Literal["flips"] = True
    zero_pad: bool = False
    dataset_enlarge_ratio: Positive = 1
    prefetch_mode: Literal["cpu", "cuda"] | None = None
    pin_memory: bool = False


@dataclass(frozen=True, kw_only=True)
class SyntheticBlurDataSection(DataSection):
    """Sharp photographs that are blurred when they are asked for, to validate or test with."""

    dataroot_gt: str
    io_backend: IoBackendSection
    blur: BlurSettings | None = None
    seed: NotNegative = 0
    pairs: Positive | None = None
    cache_mb: Annotated[float, AtLeast(0)] = 0


@dataclass(frozen=True, kw_only=True)
class SyntheticBlurTrainingDataSection(SyntheticBlurDataSection):
    """Sharp photographs that are blurred when they are asked for, to train on."""

    patch_stages: list[PatchStage]
    batch_size_per_gpu: Positive
    num_worker_per_gpu: NotNegative
    curriculum: Curriculum | None = None
    crop_tries: Positive = 4
    dataset_enlarge_ratio: Positive = 1
    prefetch_mode: Literal["cpu", "cuda"] | None = None
    pin_memory: bool = False


@dataclass(frozen=True, kw_only=True)
class SimulatorSection:
    """``simulator`` of simulated motion kernels; its own constructor knows the bounds."""

    length: float = 15.0
    steps: Positive = 2000
    anxiety: float = 0.001
    exposure: float = 1.0
    shift: int = 0


@dataclass(frozen=True, kw_only=True)
class KernelDataSection(DataSection):
    """Simulated motion kernels, held out."""

    kernels: Positive
    seed: NotNegative = 0
    kernel_size: Positive = 19
    simulator: SimulatorSection | None = None


@dataclass(frozen=True, kw_only=True)
class KernelTrainingDataSection(KernelDataSection):
    """Simulated motion kernels to train on."""

    batch_size_per_gpu: Annotated[int, AtLeast(2)]
    num_worker_per_gpu: NotNegative
    redraw: bool = False
    dataset_enlarge_ratio: Positive = 1
    prefetch_mode: Literal["cpu", "cuda"] | None = None
    pin_memory: bool = False


@dataclass(frozen=True)
class ScaleWeightsSection:
    """Weights of the losses at the scales; a network that does not restore at one has no use for its weight."""

    full: float = 1.0
    half: float = 1.0
    quarter: float = 1.0


@dataclass(frozen=True, kw_only=True)
class LoopSection:
    """What the loop reads of ``train``, whatever the model."""

    total_iter: Positive


@dataclass(frozen=True, kw_only=True)
class OptimisationSection(LoopSection):
    """``train`` of an option file with a ``model_type`` of this project, but for the losses."""

    optim_g: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    warmup_iter: int = -1
    clip_grad_norm: Annotated[float, AtLeast(0)] | None = None
    ema_decay: Annotated[float, AtLeast(0), Below(1)] = 0
    amp: Literal["bf16", "fp16"] | None = None
    channels_last: bool = False
    compile: bool = False
    max_skipped_steps: NotNegative = 0


@dataclass(frozen=True, kw_only=True)
class TrainSection(OptimisationSection):
    """``train`` of an option file with a ``model_type`` that restores images."""

    losses: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class DeblurTrainSection(TrainSection):
    """``train`` of an option file with ``model_type: DeblurModel``."""

    scale_weights: ScaleWeightsSection | None = None


@dataclass(frozen=True, kw_only=True)
class UFPNetTrainSection(TrainSection):
    """``train`` of an option file with ``model_type: UFPNetModel``."""

    reblur_losses: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class ValidationSection:
    """``val``: how the network is measured."""

    save_img: bool
    suffix: str | None = None
    pbar: bool = True
    metrics: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationValidationSection(ValidationSection):
    """``val`` in an evaluation, which measures by its protocol and saves no images."""

    save_img: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingValidationSection(ValidationSection):
    """``val`` in training: also when."""

    val_freq: Positive


@dataclass(frozen=True, kw_only=True)
class KernelValidationSection:
    """``val`` with ``model_type: KernelFlowModel``, which has one figure: the negative log-likelihood."""

    save_img: bool


@dataclass(frozen=True, kw_only=True)
class TrainingKernelValidationSection(KernelValidationSection):
    """The same in training: also when."""

    val_freq: Positive


@dataclass(frozen=True)
class LoggerSection:
    """``logger``: how often the run writes what."""

    print_freq: Positive
    save_checkpoint_freq: Positive
    use_tb_logger: bool
    wandb: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PathSection:
    """``path``: where weights come from; where results go follows from the name of the run."""

    pretrain_network_g: str | None = None
    param_key_g: Literal["params", "params_ema"] = "params"
    strict_load_g: bool = True
    resume_state: str | None = None


@dataclass(frozen=True, kw_only=True)
class UFPNetPathSection(PathSection):
    """``path`` with ``model_type: UFPNetModel``: also the files of the stages before."""

    pretrain_network_kernel: str | None = None
    pretrain_network_flow: str | None = None


@dataclass(frozen=True, kw_only=True)
class KernelEstimationPathSection(PathSection):
    """``path`` with ``model_type: KernelEstimationModel``: also the file of the stage before."""

    pretrain_network_flow: str | None = None


@dataclass(frozen=True, kw_only=True)
class KernelEstimationTrainingPathSection(KernelEstimationPathSection):
    """The same in training: also what BasicSR must not look for among the files of a run that it resumes."""

    ignore_resume_networks: tuple[Literal["network_flow"]]


@dataclass(frozen=True, kw_only=True)
class CommonSections:
    """The top level, as far as training and testing of any model share it."""

    name: str
    model_type: str
    num_gpu: NotNegative | Literal["auto"]
    datasets: Mapping[str, Mapping[str, Any]]
    network_g: Mapping[str, Any]
    plugin: Any = None
    scale: Positive = 1
    manual_seed: NotNegative = 0
    dist_params: Mapping[str, Any] | None = None
    find_unused_parameters: bool = False
    scan_backend: Literal["auto", "mamba", "triton", "numba", "torch", "reference"] = "auto"


@dataclass(frozen=True, kw_only=True)
class MeasuringOptions(CommonSections):
    """What tests and evaluations share of an option file with a ``model_type`` of this project."""

    path: PathSection
    protocol: str | None = None
    published: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class TestingOptions(MeasuringOptions):
    """An option file for testing."""

    val: ValidationSection


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(MeasuringOptions):
    """An option file for an evaluation, which may be one for testing."""

    val: EvaluationValidationSection | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(CommonSections):
    """An option file for training with a ``model_type`` of this project."""

    path: PathSection
    train: TrainSection
    logger: LoggerSection
    val: TrainingValidationSection | None = None


@dataclass(frozen=True, kw_only=True)
class DeblurTrainingOptions(TrainingOptions):
    """An option file for training a DeblurModel."""

    train: DeblurTrainSection


@dataclass(frozen=True, kw_only=True)
class UFPNetTrainingOptions(TrainingOptions):
    """An option file for training a UFPNetModel."""

    path: UFPNetPathSection
    train: UFPNetTrainSection


@dataclass(frozen=True, kw_only=True)
class KernelEstimationTrainingOptions(TrainingOptions):
    """An option file for training a KernelEstimationModel."""

    path: KernelEstimationTrainingPathSection
    network_flow: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class KernelEstimationTestingOptions(TestingOptions):
    """An option file for testing a KernelEstimationModel."""

    path: KernelEstimationPathSection
    network_flow: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class KernelFlowTrainingOptions(CommonSections):
    """An option file for training a KernelFlowModel."""

    path: PathSection
    train: OptimisationSection
    logger: LoggerSection
    val: TrainingKernelValidationSection | None = None


@dataclass(frozen=True, kw_only=True)
class KernelFlowTestingOptions(CommonSections):
    """An option file for testing a KernelFlowModel."""

    path: PathSection
    val: KernelValidationSection
