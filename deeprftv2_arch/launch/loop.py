"""What BasicSR's training loop is given in place of parts of its own that go wrong."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from basicsr.utils.logger import MessageLogger

from deeprftv2_arch.models.training_model import TrainingModel

logger = logging.getLogger(__name__)


class LoopLogger(MessageLogger):  # type: ignore[misc]  # BasicSR has no types
    """BasicSR's lines of the log, with a time left that is never negative, and everything of them in TensorBoard.

    The tags are BasicSR's: losses are ``losses/l_<name>``; beside them are ``lr`` and ``grad_norm``.
    """

    def __init__(self, opt: dict[str, Any], start_iter: int = 1, tb_logger: Any = None, ours: bool = False) -> None:
        super().__init__(opt, start_iter, tb_logger)
        self.use_tb_logger = False  # of the class above, whose tags know no losses but those called l_...
        self.max_iters += 1  # it takes one off too many
        self.ours = ours

    def __call__(self, log_vars: dict[str, Any]) -> None:
        """Write a line, and its values to TensorBoard."""
        iteration, rates, values = log_vars["iter"], log_vars["lrs"], dict(log_vars)
        super().__call__(log_vars)
        if self.tb_logger is None:
            return
        for name in ("epoch", "iter", "lrs", "time", "data_time"):
            values.pop(name, None)
        self.tb_logger.add_scalar("lr", rates[0], iteration)
        for name, value in values.items():
            self.tb_logger.add_scalar(tag_of(name, self.ours), value, iteration)


def tag_of(name: str, ours: bool) -> str:
    """Return the tag of a logged value; of this project's models all but the gradient's norm are losses."""
    if name.startswith("l_"):
        return f"losses/{name}"
    return f"losses/l_{name}" if ours and name != "grad_norm" else name


def validating_once(model: Any, last_iter: int) -> Any:
    """Let a model validate on no data set twice at one iteration, as BasicSR's loop asks after the last one."""
    validate: Callable[..., None] = model.validation
    done: dict[str, int] = {}

    def validation(dataloader: Any, current_iter: int, *more: Any, **named: Any) -> None:
        name = dataloader.dataset.opt["name"]
        # A loop over epochs ends one iteration behind the last.
        iteration = min(current_iter, last_iter)
        if done.get(name) != iteration:
            validate(dataloader, current_iter, *more, **named)
        done[name] = iteration

    model.validation = validation
    return model


def parts_of_loop(opt: Mapping[str, Any], build_model: Callable[[Any], Any]) -> dict[str, Any]:
    """Return what BasicSR's loop gets in place of its own ``build_model`` and ``MessageLogger``."""
    built = []

    def build(opt: Any) -> Any:
        built.append(validating_once(build_model(opt), int(opt["train"]["total_iter"])))
        return built[0]

    def message_logger(opt: Any, start_iter: int, tb_logger: Any) -> LoopLogger:
        return LoopLogger(opt, start_iter, tb_logger, isinstance(built[0], TrainingModel))

    return {"build_model": build, "MessageLogger": message_logger}


def repair_wandb() -> None:
    """Give current releases of wandb the function that BasicSR asks for and they have moved."""
    import wandb  # type: ignore[import-not-found, unused-ignore]

    if not hasattr(wandb.util, "generate_id"):
        from wandb.sdk.lib.runid import generate_id  # type: ignore[import-not-found, unused-ignore]

        wandb.util.generate_id = generate_id
