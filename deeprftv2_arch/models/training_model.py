"""How a network of any kind is trained, saved and resumed within BasicSR."""

import math
import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from deeprftv2_arch.checkpoints.io import save, save_atomically
from deeprftv2_arch.checkpoints.weights import Weights, load_weights
from deeprftv2_arch.common.atomic import written_whole
from deeprftv2_arch.errors import CheckpointError
from deeprftv2_arch.models.concise_model import ConciseModel
from deeprftv2_arch.models.mixed_precision import MixedPrecision
from deeprftv2_arch.models.non_finite_guard import NonFiniteGuard
from deeprftv2_arch.models.processes import gathered, mean_over_processes
from deeprftv2_arch.models.state_check import require_fitting
from deeprftv2_arch.models.training_state import plain, random_state, restore_random_state, update_average
from deeprftv2_arch.ops.scan.backends import set_backend_of_options
from deeprftv2_arch.options.cosine_annealing import CosineAnnealingLR
from deeprftv2_arch.options.optimisers import OPTIMISERS
from deeprftv2_arch.options.sections import ModelOptions
from deeprftv2_arch.options.validation import read_options


class TrainingModel(ConciseModel, ABC):
    """BasicSR's SRModel with what today's recipes need; what is trained on and compared is left to the subclasses.

    Options of the section ``train`` beyond SRModel's:

        optim_g            also of type AdamW or Muon
        scheduler          also of type CosineAnnealingLR: {T_max, eta_min}
        clip_grad_norm     largest norm of the gradient; absent or 0: as it is
        amp                bf16 or fp16; absent: float32. Validation is always in float32.
        channels_last      memory layout of the weights and images
        compile            torch.compile
        max_skipped_steps  so many steps in a row may be skipped for a loss or gradient that is not finite

    At the top level, ``scan_backend`` chooses the backend of all selective scans of the process (default: auto).

    Args:
        opt: All options of the run, as BasicSR completes them.

    Attributes:
        options: What the model reads of them, as values; BasicSR's own parts go on reading ``opt``.
        options_type: What these are.
        weights: Where the weights that were loaded last are from; None without any.
        sample_kind: What a batch is made of, for messages.
        iteration: The last one that was done, here or before what was resumed; None before the first.

    Raises:
        OptionError: An option has no meaning.
        CheckpointError: The weights to start from do not fit or cannot be read.
    """

    weights: Weights | None = None
    iteration: int | None = None
    sample_kind = "images"
    options_type: type[ModelOptions] = ModelOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        self.options = read_options(self.options_type, opt)
        set_backend_of_options(self.options.scan_backend)
        # BasicSR takes its options apart while it reads them; the caller's stay as they are.
        super().__init__(deepcopy(opt))

    @abstractmethod
    def compute_losses(self) -> dict[str, Tensor]:
        """Run the network on the batch, in the wanted precision.

        Returns:
            Scalars by the names that the log gives them. Their sum is minimised.
        """

    @abstractmethod
    def batch_names(self) -> list[str]:
        """Return what the samples of the batch are called in messages."""

    def init_training_settings(self) -> None:
        """Set up everything that training needs beside the network and its losses."""
        train = self.recipe
        self.net_g.train()
        self.precision = MixedPrecision(train.amp, self.device)
        self.guard = NonFiniteGuard(train.max_skipped_steps, self.sample_kind)
        self.max_grad_norm = train.clip_grad_norm or math.inf
        self.ema_decay = train.ema_decay
        if self.ema_decay > 0:
            self._start_average()
        self.setup_optimizers()
        self.setup_schedulers()
        self._last_saved: tuple[int, int] | None = None
        self._validated: tuple[int, list[str]] = (0, [])
        self._learning: list[nn.Parameter] = []  # what a rehearsal gave gradients

    @property
    def recipe(self) -> Any:
        """The section ``train``, which there is in training."""
        return self.options.train

    def _start_average(self) -> None:
        path = self.options.path
        self.net_g_ema = build_network(self.opt["network_g"]).to(self.device).eval()
        self.model_ema(0)  # also what a file that fits in part leaves as it is
        if path.pretrain_network_g is not None:
            self.load_network(self.net_g_ema, path.pretrain_network_g, path.strict_load_g, "params_ema")

    def model_ema(self, decay: float = 0.999) -> None:
        """Move the average weights and buffers towards the current ones."""
        update_average(self.net_g_ema, self.get_bare_model(self.net_g), decay)

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """Move a network to its device, in the wanted memory layout, compiled and distributed as the options say."""
        train = self.options.train
        self.memory_format = torch.channels_last if train and train.channels_last else torch.contiguous_format
        net = net.to(self.device).to(memory_format=self.memory_format)
        if train and train.compile:
            net.compile()  # in place, so that the names of the weights stay
        if self.opt["dist"]:
            # Of 1x1 convolutions, whose two layouts are one in memory: a copy that is made either way, on every rank.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        if self.opt["dist"] and self.device.type == "cpu":
            return DistributedDataParallel(net, find_unused_parameters=self.options.find_unused_parameters)
        return super().model_to_device(net)

    def get_optimizer(self, optim_type: str, params: list[nn.Parameter], lr: float, **kwargs: Any) -> Optimizer:
        """Build AdamW, Muon, or what BasicSR knows."""
        if optim_type in OPTIMISERS:
            return OPTIMISERS[optim_type](params, lr, **kwargs)
        return super().get_optimizer(optim_type, params, lr, **kwargs)

    def setup_schedulers(self) -> None:
        """Build the plain cosine schedule, or what BasicSR knows."""
        options = dict(self.recipe.scheduler)
        if options.pop("type") == "CosineAnnealingLR":
            self.schedulers += [CosineAnnealingLR(optimizer, **options) for optimizer in self.optimizers]
        else:
            super().setup_schedulers()

    def optimize_parameters(self, current_iter: int) -> None:
        """Do one step on the batch, unless a loss or the gradient is not finite.

        Raises:
            NonFiniteError: One is not, and no more steps may be skipped.
        """
        scaler = self.precision.scaler
        self.optimizer_g.zero_grad()
        losses = self.compute_losses()
        total: Any = sum(losses.values())
        scaler.scale(total).backward()
        scaler.unscale_(self.optimizer_g)
        grad_norm = clip_grad_norm_(self.net_g.parameters(), self.max_grad_norm)
        values = mean_over_processes(torch.stack([*losses.values(), grad_norm])).tolist()
        self.log_dict = OrderedDict(zip([*losses, "grad_norm"], values, strict=True))

        watched = dict(self.log_dict)
        if not math.isfinite(watched["grad_norm"]) and self.precision.calibrating:
            del watched["grad_norm"]
        if self.guard.allows(current_iter, watched, self.batch_names()):
            scaler.step(self.optimizer_g)
            if self.ema_decay > 0 and math.isfinite(self.log_dict["grad_norm"]):  # if not, the scaler skips the step
                self.model_ema(self.ema_decay)
        scaler.update()
        self.iteration = current_iter

    def rehearse(self, data: dict[str, Any]) -> None:
        """Do a step on a batch, but for the change of the weights, and undo all that it leaves.

        So what would fail in the first step fails here. Nothing is compiled for it.

        Args:
            data: The batch.
        """
        net = self.get_bare_model(self.net_g)
        before, random_numbers = deepcopy(net.state_dict()), random_state()
        self.feed_data(data)
        with torch.compiler.set_stance("force_eager"):
            total: Any = sum(self.compute_losses().values())
            total.backward()
        if not self.options.find_unused_parameters:  # else others may be without a gradient in the next step
            self._learning = [weight for weight in self.net_g.parameters() if weight.grad is not None]
        self.net_g.zero_grad(set_to_none=True)
        net.load_state_dict(before)  # running means of a normalisation
        restore_random_state(random_numbers)

    def save(self, epoch: int, current_iter: int) -> None:
        """Save network and training state; not while steps are being skipped, so that the last good ones stay."""
        if self.guard.skipped > 0 and current_iter != -1:
            get_root_logger().warning("Iteration %d was skipped and is not saved", current_iter)
            return
        super().save(epoch, current_iter)

    @property
    def is_saved(self) -> bool:
        """Whether network and state of the last iteration are saved."""
        return self._last_saved is not None and self._last_saved[1] == self.iteration

    def _state_path(self, iteration: int) -> Path:
        return Path(self.opt["path"]["training_states"]) / f"{iteration}.state"

    @master_only
    def save_network(
        self,
        net: nn.Module | list[nn.Module],
        net_label: str,
        current_iter: int,
        param_key: str | list[str] = "params",
    ) -> None:
        """Write ``models/<label>_<iteration>.pth``: the weights of every network under its key.

        Raises:
            WriteError: It cannot be written; an earlier file of the name is still there.
        """
        nets, keys = ([value] if not isinstance(value, list) else value for value in (net, param_key))
        states = {key: plain(self.get_bare_model(net_).state_dict()) for net_, key in zip(nets, keys, strict=True)}
        iteration = "latest" if current_iter == -1 else current_iter
        with written_whole(Path(self.opt["path"]["models"]) / f"{net_label}_{iteration}.pth") as temporary:
            save(states, temporary)
            # An earlier state of this iteration would belong to another network as soon as this one gets its name.
            self._state_path(current_iter).unlink(missing_ok=True)

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Write ``training_states/<iteration>.state``: what ``resume_training`` restores; every process must call.

        Raises:
            WriteError: It cannot be written; an earlier file of the name is still there.
        """
        if current_iter == -1:
            return
        self._last_saved = epoch, current_iter
        random_states = gathered(random_state())
        if self.opt["rank"] != 0:
            return
        state = {
            "epoch": epoch,
            "iter": current_iter,
            "optimizers": [plain(optimizer.state_dict()) for optimizer in self.optimizers],
            "schedulers": [plain(scheduler.state_dict()) for scheduler in self.schedulers],
            "grad_scaler": self.precision.scaler.state_dict(),
            "best_metric_results": getattr(self, "best_metric_results", {}),
            "validated": self._validated[1] if self._validated[0] == current_iter else [],
            "random_states": random_states,
        }
        save_atomically(state, self._state_path(current_iter))

    def validation(
        self, dataloader: DataLoader[Any], current_iter: int, tb_logger: Any, save_img: bool = False
    ) -> None:
        """Validate; see ``nondist_validation``."""
        super().validation(dataloader, current_iter, tb_logger, save_img)
        if not self.is_train:
            return
        dataset: Any = dataloader.dataset
        names = self._validated[1] if self._validated[0] == current_iter else []
        # A finished training that is resumed validates its last iteration once more.
        self._validated = current_iter, [*(name for name in names if name != dataset.opt["name"]), dataset.opt["name"]]
        # BasicSR saves an iteration before it validates it. The state then says what is still to be validated, so that
        # a run that is killed in between does so first; afterwards it knows the best results up to there.
        if self._last_saved is not None and self._last_saved[1] == current_iter:
            self.save_training_state(*self._last_saved)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Take up a training where its state was saved; weights and average come from the network's own file.

        Args:
            resume_state: What ``save_training_state`` or BasicSR has written.

        Raises:
            CheckpointError: The state belongs to another network or optimiser.
        """
        self.require_fitting(resume_state)
        # BasicSR reads states to the GPU, where an optimiser would also look for its step counts, one by one.
        resume_state = plain(resume_state)
        wanted = self._recipe()
        try:
            super().resume_training(resume_state)
        except (AssertionError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"the training state of iteration {resume_state.get('iter')} does not fit the network and optimiser of "
                f"the option file ({error}); resume with the options that it was saved with"
            ) from error
        for name, value in self._recipe().items():
            if value != wanted.get(name):
                get_root_logger().warning(
                    "Resuming with %s %s, which the training state was saved with, not %s",
                    name,
                    value,
                    wanted.get(name),
                )
        self.iteration = resume_state["iter"]
        self._last_saved = resume_state["epoch"], resume_state["iter"]
        self._validated = resume_state["iter"], list(resume_state.get("validated", []))
        if resume_state.get("grad_scaler"):
            self.precision.scaler.load_state_dict(resume_state["grad_scaler"])
        metrics = self.options.val.metrics or {}
        self.best_metric_results = {
            dataset: best
            for dataset, best in resume_state.get("best_metric_results", {}).items()
            if best.keys() == metrics.keys()
        }
        random_states = resume_state.get("random_states", [])
        if len(random_states) == self.opt["world_size"]:
            restore_random_state(random_states[self.opt["rank"]])
        else:
            get_root_logger().warning(
                "The training state has random states of %d processes and this run %d processes: they start anew",
                len(random_states),
                self.opt["world_size"],
            )

    def require_fitting(self, resume_state: dict[str, Any]) -> None:
        """Refuse a training state that is damaged or another training's, before any of it is taken.

        Raises:
            CheckpointError: It is.
        """
        metrics = self.options.val.metrics or {}
        better = {name: section.get("better", "higher") for name, section in metrics.items()}
        require_fitting(resume_state, self.optimizers, self.schedulers, better, self._learning)

    def _recipe(self) -> dict[str, Any]:
        """Return the settings of optimiser and schedule that a training state brings along."""
        group = self.optimizers[0].param_groups[0]
        schedule = vars(self.schedulers[0])
        names = ("hold", "T_max", "eta_min", "milestones", "gamma", "periods", "restarts", "restart_weights")
        return {name: group[name] for name in ("initial_lr", "weight_decay", "betas") if name in group} | {
            name: schedule[name] for name in names if name in schedule
        }

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load weights.

        Args:
            net: Takes the weights.
            load_path: The checkpoint.
            strict: Whether all weights must fit; if not, what does not is left out with a warning.
            param_key: Where in the checkpoint to look first; a warning says if the weights are elsewhere.

        Raises:
            CheckpointError: The file is missing, torn, unsafe to read, or belongs to another network.
        """
        self.weights = load_weights(self.get_bare_model(net), Path(load_path), param_key, strict, get_root_logger())
