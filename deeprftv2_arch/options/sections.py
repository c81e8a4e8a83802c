"""What the sections of an option file hold: checked when a file is read, and then used as values.

A field without a default must be in the file. Its description is shown by editors (``python -m deeprftv2_arch options
schema``). Networks, losses, metrics, optimisers and schedules stay mappings with a ``type`` here, since the signature
of what that names says what they hold.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Lt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from deeprftv2_arch.data.synthetic_blur import BlurSettings


def whole_number(value: object) -> object:
    """Return a float without fraction as the integer that it is, and anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Text: TypeAlias = Annotated[str, Strict()]
Switch: TypeAlias = Annotated[bool, Strict()]
WholeNumber: TypeAlias = Annotated[int, Strict()]
Number: TypeAlias = Annotated[float, Strict()]
Positive: TypeAlias = Annotated[int, Strict(), Ge(1)]
# BasicSR's own option files write such numbers as !!float 5e3.
Count: TypeAlias = Annotated[int, Strict(), Ge(1), BeforeValidator(whole_number)]
NotNegative: TypeAlias = Annotated[int, Strict(), Ge(0)]
# Bounds far above what anybody uses: a slip of the finger is said, instead of a machine that stands still.
Workers: TypeAlias = Annotated[int, Strict(), Ge(0), Lt(1025)]
Batch: TypeAlias = Annotated[int, Strict(), Lt(65_537)]
BatchOfBasicSR: TypeAlias = Annotated[Batch, Ge(1)]
Seed: TypeAlias = Annotated[int, Strict(), Ge(0), Lt(2**31)]  # numpy takes 32 bits, and every rank the next one
# Something registered, by its `type`, with its arguments.
Registered: TypeAlias = Annotated[
    Mapping[str, Any],
    WithJsonSchema({"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}),
]
# Several such things, by names of the user's.
RegisteredByName: TypeAlias = Mapping[Any, Mapping[str, Any]]


class Section(BaseModel):
    """A section of an option file, without keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- datasets ---------------------------------------------------------------------------------------------------------


class DataSection(Section):
    """What the loops read of a data set of any type."""

    name: Text = Field(description="Name of the data set, in logs and results.")
    type: Text = Field(description="What reads the data, such as DeblurPairDataset.")


class IoBackendSection(Section):
    """``io_backend`` of a data set."""

    type: Literal["lmdb", "disk"] = Field(description="lmdb: databases; disk: folders of images.")


class HeldOutPairsSection(DataSection):
    """Pairs of images to measure on."""

    dataroot_gt: Text = Field(description="Folder or LMDB of the ground truth.")
    dataroot_lq: Text = Field(description="Folder or LMDB of the degraded images.")
    io_backend: IoBackendSection = Field(description="What the two dataroots are.")
    filename_tmpl: Text = Field("{}", description="Name of a degraded image whose ground truth is called {}.")
    bit_depth: Literal[8] | None = Field(None, description="8: of images of 16 bits, read the upper 8; null: all.")


class PatchStageSection(Section):
    """A stretch of the training with patches of one size."""

    iters: WholeNumber = Field(description="Its number of iterations.")
    patch_size: WholeNumber | tuple[WholeNumber, WholeNumber] = Field(
        description="Side of the patches of the degraded images in pixels, or height and width."
    )
    batch_size: Batch = Field(description="Patches per iteration, on all GPUs together.")


class TrainingPairsSection(HeldOutPairsSection):
    """Pairs of images to train on."""

    patch_stages: list[PatchStageSection] = Field(description="Sizes of patches and batches, one stage after another.")
    batch_size_per_gpu: BatchOfBasicSR = Field(
        description="For an unmodified BasicSR, which does not know patch_stages."
    )
    num_worker_per_gpu: Workers = Field(description="Processes that read images for one GPU.")
    augment: Switch | Literal["flips"] = Field(True, description="true: flips and quarter turns; flips: no turns.")
    zero_pad: Switch = Field(
        False, description="Whether images smaller than the largest patch are continued by zeros; else refused."
    )
    dataset_enlarge_ratio: Positive = Field(1, description="For an unmodified BasicSR: passes per epoch.")
    prefetch_mode: Literal["cpu", "cuda"] | None = Field(None, description="Where batches are fetched in advance to.")
    pin_memory: Switch = Field(False, description="Whether batches lie in memory from which GPUs copy faster.")


class CurriculumSection(Section):
    """``curriculum`` of photographs that are blurred on the fly: short paths first."""

    longest: Annotated[float, Strict(), Ge(1)] = Field(description="Longest path of the camera at first, in pixels.")
    pairs: Positive = Field(description="Number of the pair from which on paths are as long as blur: path says.")


class HeldOutPhotographsSection(DataSection):
    """Sharp photographs that are blurred on the fly, to measure on."""

    dataroot_gt: Text = Field(description="Folder or LMDB of sharp photographs.")
    io_backend: IoBackendSection = Field(description="What the dataroot is.")
    blur: BlurSettings | None = Field(None, description="What differs from the usual blur.")
    seed: NotNegative = Field(0, description="Of all that is random in a measurement.")
    pairs: Positive | None = Field(None, description="Number of pairs; null: one for every photograph.")
    cache_mb: Annotated[float, Strict(), Ge(0)] = Field(
        0, description="MiB that every worker may take to keep decoded photographs."
    )


class TrainingPhotographsSection(HeldOutPhotographsSection):
    """Sharp photographs that are blurred on the fly, to train on."""

    patch_stages: list[PatchStageSection] = Field(description="Sizes of patches and batches, one stage after another.")
    batch_size_per_gpu: BatchOfBasicSR = Field(
        description="For an unmodified BasicSR, which does not know patch_stages."
    )
    num_worker_per_gpu: Workers = Field(description="Processes that make patches for one GPU.")
    curriculum: CurriculumSection | None = Field(None, description="Whether training begins with short paths.")
    crop_tries: Positive = Field(4, description="Places that are looked at for a patch with detail.")
    dataset_enlarge_ratio: Positive = Field(1, description="For an unmodified BasicSR: passes per epoch.")
    prefetch_mode: Literal["cpu", "cuda"] | None = Field(None, description="Where batches are fetched in advance to.")
    pin_memory: Switch = Field(False, description="Whether batches lie in memory from which GPUs copy faster.")


class SimulatorSection(Section):
    """``simulator`` of simulated motion kernels; its own constructor knows the bounds."""

    length: Number = Field(15.0, description="Length of the path in pixels.")
    steps: Positive = Field(2000, description="Steps of the path.")
    anxiety: Number = Field(0.001, description="How much the path shakes; near 0 it is straight.")
    exposure: Number = Field(1.0, description="The part of the path that is exposed.")
    shift: WholeNumber = Field(0, description="Pixels by which the middle of the kernel is moved.")


class HeldOutKernelsSection(DataSection):
    """Simulated motion kernels to measure on."""

    kernels: Positive = Field(description="Number of kernels.")
    seed: NotNegative = Field(0, description="Of the simulation; held-out kernels are others whatever the seeds.")
    kernel_size: Positive = Field(19, description="Height and width of the kernels in pixels, odd.")
    simulator: SimulatorSection | None = Field(None, description="How kernels are simulated.")


class TrainingKernelsSection(HeldOutKernelsSection):
    """Simulated motion kernels to train on."""

    batch_size_per_gpu: Annotated[Batch, Ge(2)] = Field(description="Kernels per iteration and process.")
    num_worker_per_gpu: Workers = Field(description="Processes that make batches; 0: none, all is in memory.")
    redraw: Switch = Field(False, description="Whether every pass has new kernels.")
    dataset_enlarge_ratio: Positive = Field(1, description="For an unmodified BasicSR: passes per epoch.")
    prefetch_mode: Literal["cpu", "cuda"] | None = Field(None, description="Where batches are fetched in advance to.")
    pin_memory: Switch = Field(False, description="Whether batches lie in memory from which GPUs copy faster.")


# --- train ------------------------------------------------------------------------------------------------------------


class LoopSection(Section):
    """What the loop reads of ``train``, whatever the model."""

    total_iter: Count = Field(description="Number of iterations.")


class OptimisationSection(LoopSection):
    """``train`` of a model of this project, but for the losses."""

    optim_g: Registered = Field(description="Optimiser: type AdamW, Adam or Muon, lr and its other arguments.")
    scheduler: Registered = Field(description="Schedule of the learning rate: its type and arguments.")
    warmup_iter: WholeNumber = Field(-1, description="Iterations in which the learning rate rises from 0; -1: none.")
    clip_grad_norm: Annotated[float, Strict(), Ge(0)] | None = Field(
        None, description="Largest norm of the gradient; null or 0 leaves it as it is."
    )
    ema_decay: Annotated[float, Strict(), Ge(0), Lt(1)] = Field(
        0, description="Above 0, such as 0.999: also keep an average of the weights (params_ema), and validate it."
    )
    amp: Literal["bf16", "fp16"] | None = Field(
        None, description="Arithmetic of the forward pass; null: float32. Validation is always in float32."
    )
    channels_last: Switch = Field(False, description="Memory layout of weights and images.")
    compile: Switch = Field(False, description="Whether to compile the network by torch.compile.")
    max_skipped_steps: NotNegative = Field(
        0, description="Steps in a row whose loss or gradient may be infinite or not a number before the run stops."
    )


class RestorationTrainSection(OptimisationSection):
    """``train`` of a model that restores images."""

    losses: RegisteredByName = Field(description="Losses by names of your own, each with type and arguments.")


class ScaleWeightsSection(Section):
    """Weights of the losses at the scales; a network that does not restore at one has no use for its weight."""

    full: Number = Field(1.0, description="At full resolution.")
    half: Number = Field(1.0, description="At half resolution.")
    quarter: Number = Field(1.0, description="At a quarter of the resolution.")


class DeblurTrainSection(RestorationTrainSection):
    """``train`` with ``model_type: DeblurModel``."""

    scale_weights: ScaleWeightsSection | None = Field(None, description="Weights of the losses at the scales.")


class KernelEstimationTrainSection(RestorationTrainSection):
    """``train`` with ``model_type: KernelEstimationModel``."""

    kernel_losses: RegisteredByName | None = Field(
        None, description="Losses of sharp images, kernels and blurred images: LeastSquaresKernelLoss."
    )
    kernel_stride: Count = Field(
        1, description="Of so many rows and columns the kernel of one pixel is decoded, and blurs the pixels between."
    )


class UFPNetTrainSection(RestorationTrainSection):
    """``train`` with ``model_type: UFPNetModel``."""

    reblur_losses: RegisteredByName | None = Field(
        None, description="Losses that compare restored images, blurred again, with the blurred ones."
    )


# --- val --------------------------------------------------------------------------------------------------------------


class MeasuringSection(Section):
    """What models read of ``val``."""

    suffix: Text | None = Field(None, description="Ends the names of saved images; the name of the run by default.")
    pbar: Switch = Field(True, description="Whether to show a progress bar.")
    metrics: RegisteredByName | None = Field(None, description="Metrics by names of your own, each with type.")


class ValidationSection(MeasuringSection):
    """``val`` in a test."""

    save_img: Switch = Field(description="Whether to save restored images.")


class EvaluationValidationSection(MeasuringSection):
    """``val`` in an evaluation, which measures by its protocol and saves no images."""

    save_img: Switch = Field(False, description="Without effect here.")


class TrainingValidationSection(ValidationSection):
    """``val`` in training: also when."""

    val_freq: Count = Field(description="Iterations from one validation to the next.")


class KernelValidationSection(Section):
    """``val`` with ``model_type: KernelFlowModel``, which has one metric: the negative log-likelihood."""

    save_img: Switch = Field(description="Whether to save an image of kernels drawn from the prior.")


class TrainingKernelValidationSection(KernelValidationSection):
    """The same in training: also when."""

    val_freq: Count = Field(description="Iterations from one validation to the next.")


# --- logger, path and the top level -----------------------------------------------------------------------------------


class LoggerSection(Section):
    """``logger``: how often the run writes what."""

    print_freq: Count = Field(description="Iterations from one line of the log to the next.")
    save_checkpoint_freq: Count = Field(description="Iterations from one checkpoint to the next.")
    use_tb_logger: Switch = Field(description="Whether to write a log for TensorBoard.")
    wandb: Mapping[str, Any] | None = Field(None, description="BasicSR's options of Weights & Biases.")


class PathSection(Section):
    """``path``: where weights come from; where results go follows from the name of the run."""

    pretrain_network_g: Text | None = Field(None, description="File of the weights to start from or to measure.")
    param_key_g: Literal["params", "params_ema"] | None = Field(
        None,
        description="Which weights of that file. null: to train, the last ones (params); to test, the averaged ones "
        "(params_ema) where there are any.",
    )
    strict_load_g: Switch = Field(True, description="false leaves out weights that do not fit, with a warning.")
    resume_state: Text | None = Field(None, description="A file <iteration>.state of a training to go on with.")


class KernelEstimationPathSection(PathSection):
    """``path`` with ``model_type: KernelEstimationModel``: also the file of the stage before."""

    pretrain_network_flow: Text | None = Field(None, description="File of the flow prior, from stage 1.")


class KernelEstimationTrainingPathSection(KernelEstimationPathSection):
    """The same in training: also what BasicSR must not look for among the files of a run that it resumes."""

    ignore_resume_networks: tuple[Literal["network_flow"]] = Field(
        description="[network_flow], which BasicSR would look for among the files of this run."
    )


class UFPNetPathSection(PathSection):
    """``path`` with ``model_type: UFPNetModel``: also the files of the stages before."""

    pretrain_network_kernel: Text | None = Field(None, description="File of the kernel estimator, from stage 2.")
    pretrain_network_flow: Text | None = Field(None, description="File of the flow prior, from stage 1.")


class DistributedSection(Section):
    """``dist_params``, of which BasicSR's keys pass; those of torchrun need none."""

    model_config = ConfigDict(extra="allow")

    port: Positive | None = Field(None, description="Port of the first machine; MASTER_PORT or 29500 by default.")


class RunOptions(Section):
    """The top level, as far as training and testing of any model share it."""

    name: Text = Field(description="Name of the run, and of its folder in experiments/ or results/.")
    model_type: Text = Field(description="What is trained or tested, such as DeblurModel.")
    num_gpu: NotNegative | Literal["auto"] = Field(description="GPUs of this machine; auto: all; 0: the CPU.")
    datasets: Mapping[str, Mapping[str, Any]] = Field(
        description="Data sets: train, val and val_<anything> for training; test, val, test_<anything> for testing."
    )
    network_g: Registered = Field(description="The network: its type and arguments.")
    plugin: Any = Field(
        None, description="!!python/name: of a module to import, or a list of them; that of this project loads it."
    )
    scale: Positive = Field(1, description="How many times larger than the degraded image the restored one is.")
    manual_seed: Seed = Field(0, description="Of weights, order and patches: the run repeats with it.")
    dist_params: DistributedSection | None = Field(None, description="How the processes of Slurm find each other.")
    find_unused_parameters: Switch = Field(False, description="Of DistributedDataParallel.")
    scan_backend: Literal["auto", "mamba", "triton", "numba", "torch", "reference"] = Field(
        "auto", description="Backend of selective scans; python -m deeprftv2_arch backends shows which run here."
    )
    path: PathSection = Field(description="Where weights come from.")


class TrainingOptions(RunOptions):
    """An option file for training a model that restores images."""

    train: RestorationTrainSection = Field(description="Losses, optimiser and schedule.")
    logger: LoggerSection = Field(description="How often the run writes what.")
    val: TrainingValidationSection | None = Field(None, description="How and when the network is validated.")


class TestingOptions(RunOptions):
    """An option file for testing a model that restores images."""

    val: ValidationSection = Field(description="How the network is measured.")
    protocol: Text | None = Field(
        None, description="How python -m deeprftv2_arch evaluate measures, such as gopro, sr, realblur."
    )
    published: Mapping[str, Any] | None = Field(
        None, description="For reports: name, and for every test set {metric: value}."
    )


class EvaluationOptions(TestingOptions):
    """An option file for an evaluation, which may be one for testing."""

    val: EvaluationValidationSection | None = Field(  # type: ignore[assignment]
        None, description="Without effect: the protocol says how to measure."
    )


class DeblurTrainingOptions(TrainingOptions):
    """An option file for training a DeblurModel."""

    train: DeblurTrainSection = Field(description="Losses, optimiser and schedule.")


class KernelEstimationTrainingOptions(TrainingOptions):
    """An option file for training a KernelEstimationModel."""

    path: KernelEstimationTrainingPathSection = Field(description="Where weights come from.")
    network_flow: Registered = Field(description="The flow prior of stage 1: {type: KernelFlow, ...}.")
    train: KernelEstimationTrainSection = Field(description="Losses, optimiser and schedule.")


class KernelEstimationTestingOptions(TestingOptions):
    """An option file for testing a KernelEstimationModel."""

    path: KernelEstimationPathSection = Field(description="Where weights come from.")
    network_flow: Registered = Field(description="The flow prior of stage 1: {type: KernelFlow, ...}.")


class KernelFlowTrainingOptions(RunOptions):
    """An option file for training a KernelFlowModel."""

    train: OptimisationSection = Field(description="Optimiser and schedule.")
    logger: LoggerSection = Field(description="How often the run writes what.")
    val: TrainingKernelValidationSection | None = Field(None, description="When the prior is measured.")


class KernelFlowTestingOptions(RunOptions):
    """An option file for testing a KernelFlowModel."""

    val: KernelValidationSection = Field(description="How the prior is measured.")


class UFPNetTrainingOptions(TrainingOptions):
    """An option file for training a UFPNetModel."""

    path: UFPNetPathSection = Field(description="Where weights come from.")
    train: UFPNetTrainSection = Field(description="Losses, optimiser and schedule.")


# --- models of BasicSR's and of other people's, whose further keys are theirs -----------------------------------------


class OtherDataSection(DataSection):
    """A data set of another project's to measure on."""

    model_config = ConfigDict(extra="allow")


class OtherTrainingDataSection(OtherDataSection):
    """A data set of another project's to train on."""

    num_worker_per_gpu: Workers = Field(description="Processes that read for one GPU.")


class OtherLoopSection(LoopSection):
    """``train`` of another project's model."""

    model_config = ConfigDict(extra="allow")


class OtherLoggerSection(LoggerSection):
    """``logger`` of another project's model."""

    model_config = ConfigDict(extra="allow")


class OtherPathSection(PathSection):
    """``path`` of another project's model."""

    model_config = ConfigDict(extra="allow")

    param_key_g: Text | None = Field(None, description="Which weights.")  # type: ignore[assignment]


class OtherValidationSection(ValidationSection):
    """``val`` of another project's model in a test."""

    model_config = ConfigDict(extra="allow")


class OtherEvaluationValidationSection(EvaluationValidationSection):
    """``val`` of another project's model in an evaluation."""

    model_config = ConfigDict(extra="allow")


class OtherTrainingValidationSection(TrainingValidationSection):
    """``val`` of another project's model in training."""

    model_config = ConfigDict(extra="allow")


class OtherTrainingOptions(RunOptions):
    """An option file for training a model of another project."""

    model_config = ConfigDict(extra="allow")

    path: OtherPathSection = Field(description="Where weights come from.")
    train: OtherLoopSection = Field(description="The recipe.")
    logger: OtherLoggerSection = Field(description="How often the run writes what.")
    val: OtherTrainingValidationSection | None = Field(None, description="How and when the network is validated.")


class OtherTestingOptions(TestingOptions):
    """An option file for testing a model of another project."""

    model_config = ConfigDict(extra="allow")

    path: OtherPathSection = Field(description="Where weights come from.")
    val: OtherValidationSection = Field(description="How the network is measured.")


class OtherEvaluationOptions(EvaluationOptions):
    """An option file for evaluating a network of another project's model."""

    model_config = ConfigDict(extra="allow")

    path: OtherPathSection = Field(description="Where weights come from.")
    val: OtherEvaluationValidationSection | None = Field(None, description="Without effect.")


# --- what models read -------------------------------------------------------------------------------------------------


class ModelOptions(Section):
    """What a model of this project reads of the dictionary that BasicSR gives it."""

    path: PathSection = Field(description="Where weights come from.")
    train: OptimisationSection | None = Field(None, description="The recipe; null in a test.")
    val: MeasuringSection = Field(MeasuringSection(), description="How the network is measured.")
    manual_seed: Seed = Field(0, description="Of the run.")
    find_unused_parameters: Switch = Field(False, description="Of DistributedDataParallel.")
    scan_backend: Text = Field("auto", description="Backend of selective scans.")


class RestorationModelOptions(ModelOptions):
    """What a model reads that restores images."""

    train: RestorationTrainSection | None = Field(None, description="The recipe; null in a test.")


class DeblurModelOptions(RestorationModelOptions):
    """What a DeblurModel reads."""

    train: DeblurTrainSection | None = Field(None, description="The recipe; null in a test.")


class KernelEstimationModelOptions(RestorationModelOptions):
    """What a KernelEstimationModel reads."""

    train: KernelEstimationTrainSection | None = Field(None, description="The recipe; null in a test.")


class UFPNetModelOptions(RestorationModelOptions):
    """What a UFPNetModel reads."""

    train: UFPNetTrainSection | None = Field(None, description="The recipe; null in a test.")
