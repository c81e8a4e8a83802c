"""What a training will build and do first, built and done before anything of an earlier run is touched."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import basicsr.utils.logger as basicsr_logger
from basicsr.models import build_model
from torch import nn
from torch.utils.data import DataLoader

from deeprftv2_arch.errors import DeepRFTv2Error, OptionError, shortened
from deeprftv2_arch.models.training_model import TrainingModel
from deeprftv2_arch.options.loading import Options

LOGGER = "basicsr"
SAMPLES = 2  # of a small batch; batch normalisation needs two


class Rehearsed:
    """A model that has been built, and has done one step without effect on a small batch, and what was logged then.

    Args:
        opt: The options, as the loop passes them.
        loader: Of the training set.
        file: The option file, for messages.

    Raises:
        DeepRFTv2Error: The model cannot be built, or the step cannot be done.
    """

    def __init__(self, opt: Options, loader: DataLoader[Any], file: Path) -> None:
        with _log_held_back() as self._records, _faults_named(file):
            self.model: Any = build_model(opt)
            if isinstance(self.model, TrainingModel):
                for items in loader.batch_sampler or ():
                    samples = [loader.dataset[item] for item in list(items)[:SAMPLES]]
                    self.model.rehearse(loader.collate_fn(samples))
                    break

    def take(self, opt: Options) -> Any:
        """Return the model in the loop, whose log then gets the lines about it, but for the trees of its modules."""
        logger = logging.getLogger(LOGGER)
        parts = (part for part in vars(self.model).values() if isinstance(part, nn.Module))
        trees = {str(getattr(part, "module", part)) for part in parts}
        for record in self._records:
            if logger.isEnabledFor(record.levelno) and record.getMessage() not in trees:
                logger.handle(record)
        return self.model


class _Keeper(logging.Handler):
    """Keeps lines of a log in a list."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.records.append(record)


@contextmanager
def _log_held_back() -> Iterator[list[logging.LogRecord]]:
    """Keep the lines of BasicSR's log of a with-block; the loop opens its log file only later, and does so once."""
    records: list[logging.LogRecord] = []
    keeper = _Keeper(records)
    logger = logging.getLogger(LOGGER)
    before = logger.handlers[:], logger.propagate, logger.level
    opened = set(basicsr_logger.initialized_logger)
    logger.handlers[:], logger.propagate = [keeper], False
    logger.setLevel(logging.INFO)
    basicsr_logger.initialized_logger[LOGGER] = True
    try:
        yield records
    finally:
        logger.handlers[:], logger.propagate = before[:2]
        logger.setLevel(before[2])
        if LOGGER not in opened:
            del basicsr_logger.initialized_logger[LOGGER]


@contextmanager
def _faults_named(file: Path) -> Iterator[None]:
    """Turn an error of whatever kind into a line that says where it comes from."""
    try:
        yield
    except DeepRFTv2Error:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise OptionError(
            f"{file}: this training cannot begin: {type(error).__name__}: {shortened(str(error))} "
            f"({place.filename}, line {place.lineno}); nothing was written or renamed"
        ) from error
