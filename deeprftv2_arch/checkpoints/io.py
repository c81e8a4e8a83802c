"""Reading and writing checkpoints: whole or not at all, and without executing anything that a file holds."""

import errno
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deeprftv2_arch.checkpoints.numpy_numbers import numpy_numbers
from deeprftv2_arch.checkpoints.pickle_depth import NewerProtocolError, require_shallow
from deeprftv2_arch.checkpoints.recognition import describe, difference, mismatch
from deeprftv2_arch.checkpoints.reference import under_our_names
from deeprftv2_arch.checkpoints.safetensors_file import is_safetensors, read_safetensors
from deeprftv2_arch.common.atomic import written_whole
from deeprftv2_arch.errors import LONGEST_VALUE, CheckpointError, shortened, shown

# Where else than under the wanted key the weights may be, the first one counts; "state_dict" and "model" are other
# programs' names.
PARAM_KEYS = ("params", "params_ema", "state_dict", "model")
TOP_LEVEL = "its top level"  # where the weights are in a file that has nothing else
SUPPORTED = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8, torch.int32, torch.int64}
)
MOST_WEIGHTS = 100_000  # twenty times those of the largest network here
MOST_SHARED = 2  # times that weights may be as large as what they share, as where two have one storage
LONGEST_LIST = 1 << 24  # bytes of a file's list of tensors; takes some seconds, and MOST_WEIGHTS go into it
ARCHIVE = b"PK\x03\x04"  # begins what torch.save writes; PyTorch before 1.6 wrote so many pickles, then the tensors
PICKLES = 5
TORN = "torn or no checkpoint; fetch or write it again"
DISTRIBUTED = "module."  # what DistributedDataParallel puts before a name
COMPILED = re.compile(r"(?<![^.])_orig_mod\.")  # and torch.compile, also within a name if a part alone was compiled


def save_atomically(obj: Any, path: Path) -> None:
    """Write with ``torch.save`` a file that is there when it is complete.

    Raises:
        WriteError: The disk is full or the folder missing or not writable. What was at ``path`` is still there.
    """
    with written_whole(path) as temporary:
        save(obj, temporary)


def save(obj: Any, path: Path) -> None:
    """Write with ``torch.save``, whose writer turns a full disk into a RuntimeError.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("wb") as file:
        try:
            torch.save(obj, file)
        except RuntimeError as error:
            known = error.__context__
            if isinstance(known, OSError):
                raise OSError(known.errno, known.strerror) from error
            raise OSError(errno.ENOSPC, str(error).splitlines()[0]) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint or a training state to the CPU, written with ``torch.save`` or of safetensors.

    Raises:
        CheckpointError: The file is missing, unreadable, torn, no checkpoint, larger than the memory, or holds pickled
            objects, which are not executed.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ValueError("a pipe or a device, which would be waited for")
        if is_safetensors(path):
            return dict(read_safetensors(path))
        _require_sound(path)
        with warnings.catch_warnings(), numpy_numbers():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # what hinders is said below
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file; check the path") from error
    except IsADirectoryError as error:
        raise CheckpointError(f"{path}: is a folder; name a file in it") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: {_reason(path, error)}") from error
    except Exception as error:  # of whatever kind: a torn file sends the unpickler astray
        # Invalid argument: torn archives make their reader seek to before the start.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}; check the file and its disk") from error
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise CheckpointError(f"{path}: does not fit into the memory; end other programs, or it is torn") from error
        raise CheckpointError(f"{path}: {TORN}") from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{path}: holds a {type(checkpoint).__name__}, not a dictionary of weights")
    return checkpoint


def _require_sound(path: Path) -> None:
    """Raise where ``torch.load`` would not notice damage, or would take more than a file of its size may take.

    Raises:
        BadZipFile: A part of an archive is not as it was written, or larger than those of ``torch.save``.
        NewerProtocolError: A list of tensors is of a newer pickle protocol than is read.
        ValueError: One is too long, nested too deeply, or torn.
    """
    with path.open("rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            file.seek(0)
            start = BytesIO(file.read(LONGEST_LIST))  # with all pickles, or it is too long
            for _ in range(PICKLES):
                if start.tell() == path.stat().st_size:  # torch.load says what is missing
                    break
                require_shallow(start)
            return
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > path.stat().st_size:
            raise zipfile.BadZipFile("packed, which torch.save never does: a small file could fill the memory")
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        for part in parts:
            if part.filename.lower().endswith("data.pkl"):  # as torch.load finds it, in letters of any case
                if part.file_size > LONGEST_LIST:
                    raise ValueError("a list of millions of tensors")
                require_shallow(BytesIO(archive.read(part)))


def _reason(path: Path, error: pickle.UnpicklingError) -> str:
    """Tell objects that would have been executed from bytes that are no checkpoint."""
    if isinstance(error, NewerProtocolError):
        return f"was saved with {error}, of which nothing was executed; save it with torch.save's default"
    unsafe = re.search(r"[Uu]nsupported (?:global: GLOBAL|GLOBAL|class) ([\w.]+)", str(error))
    with path.open("rb") as file:
        foreign = file.read(1) == pickle.PROTO and "nsupported operand" in str(error)  # of a newer pickle protocol
    if not unsafe and not foreign:
        return TORN
    what = f"a pickled object ({unsafe[1]})" if unsafe else "pickled objects"
    return f"holds {what}, which could run any program and was not executed; ask for a file with tensors only"


def pick_params(checkpoint: Mapping[str, Any], key: str | None = "params") -> tuple[dict[str, Tensor], str]:
    """Find the weights in a checkpoint.

    Args:
        checkpoint: What ``load_checkpoint`` returned.
        key: Where to look first; then under the usual keys, then whether the checkpoint itself is the weights.

    Returns:
        The weights, under the names of the bare network, and the key that they are under.

    Raises:
        CheckpointError: There are no weights, or one has more values than are stored: a network that is built for it
            could fill the memory, however small the file is.
    """
    keys = PARAM_KEYS if key is None else (key, *PARAM_KEYS)
    found = next((name for name in keys if isinstance(checkpoint.get(name), Mapping) and checkpoint[name]), None)
    weights = checkpoint if found is None else checkpoint[found]
    if not weights or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()):
        named = ", ".join(shortened(str(name), LONGEST_VALUE) for name in list(checkpoint)[:8])
        raise CheckpointError(f"no weights in the checkpoint: its keys are {named}")
    if len(weights) > MOST_WEIGHTS:
        raise CheckpointError(f"holds {len(weights):,} weights; no more than {MOST_WEIGHTS:,} are read")
    strange = next((name for name, value in weights.items() if not _is_supported(value)), None)
    if strange is not None:
        raise CheckpointError(
            f"weights of type {_type(weights[strange])} are not supported ({shown(strange)}); convert them to float32"
        )
    hollow = next((name for name, value in weights.items() if not _holds_its_values(value)), None)
    if hollow is not None:
        named = shortened(hollow, LONGEST_VALUE)
        raise CheckpointError(f"{named} announces more values than the file holds; fetch or write the file again")
    announced, held = _sizes(weights.values())
    if announced > MOST_SHARED * held:
        raise CheckpointError(
            f"its weights announce {announced:,} bytes and share {held:,}; fetch or write the file again"
        )
    return bare_names(weights), found or TOP_LEVEL


def _is_supported(tensor: Tensor) -> bool:
    """Tell whether a tensor is of a type that networks here have as weights or, if of integers, as buffers."""
    return tensor.dtype in SUPPORTED and not tensor.is_nested and not tensor.is_quantized


def _type(tensor: Tensor) -> str:
    nested = "nested " if tensor.is_nested else ""
    return nested + str(tensor.dtype).removeprefix("torch.")


def _sizes(tensors: Iterable[Tensor]) -> tuple[int, int]:
    """Return how many bytes tensors have together, and how many their distinct storages hold."""
    announced, storages = 0, {}
    for tensor in tensors:
        announced += tensor.numel() * tensor.element_size()
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    return announced, sum(storages.values())


def _holds_its_values(tensor: Tensor) -> bool:
    """Return False for one number seen as many, and for tensors that are no array in memory (of meta, sparse)."""
    if tensor.is_meta or tensor.layout != torch.strided:
        return False
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def load_params(path: Path, key: str | None = "params") -> dict[str, Tensor]:
    """Read weights as :func:`find_params` does, without the key."""
    return find_params(path, key)[0]


def find_params(path: Path, key: str | None = "params") -> tuple[dict[str, Tensor], str]:
    """Read the weights in a file; those of the authors' reference get the names of this package's network.

    Returns:
        The weights, under the names of the bare network, and the key that they are under.

    Raises:
        CheckpointError: The file cannot be read (``load_checkpoint``), has no weights (``pick_params``), or has names
            of a reference that cannot be translated.
    """
    state, found = read_params(path, key)
    return dict(under_our_names(state, str(path))), found


def read_params(path: Path, key: str | None) -> tuple[dict[str, Tensor], str]:
    """Read weights as :func:`find_params` does, under the names in the file."""
    checkpoint = load_checkpoint(path)
    try:
        return pick_params(checkpoint, key)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def bare_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under their names in the bare network, without those of wrappers.

    Raises:
        CheckpointError: Two would get the same name.
    """
    bare = {_bare(name): value for name, value in weights.items()}
    if len(bare) < len(weights):
        raise CheckpointError("has weights twice, with and without the names of wrappers (module, _orig_mod)")
    return bare


def _bare(name: str) -> str:
    name = COMPILED.sub("", name)
    while name.startswith(DISTRIBUTED):
        name = name.removeprefix(DISTRIBUTED)
    return name


def require_fit(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that do not fit a network.

    Args:
        expected: The network's weights by name; only their shapes count.
        state: The weights to be loaded by name.
        path: The file that they come from, for the message.

    Raises:
        CheckpointError: Weights are missing, left over or of another shape.
    """
    for name, weight in state.items():
        if name in expected and expected[name].is_floating_point() and not weight.is_floating_point():
            raise CheckpointError(f"{path}: weights of type {_type(weight)} are not supported ({shown(name)})")
    problem = mismatch(expected, state)
    if problem:
        raise CheckpointError(
            f"{path}: does not fit the network of the option file: its weights are those of {describe(state)} "
            f"({_compared(state, expected)}); tensors {problem}. Name another file or change network_g; "
            "a training takes what fits with strict_load_g: false"
        )


def load_into(net: nn.Module, state: Mapping[str, Tensor], path: Path, strict: bool = True) -> str | None:
    """Give a network the weights of a checkpoint.

    Args:
        net: The bare network.
        state: Weights by name.
        path: The file that they come from, for the message.
        strict: Whether all must fit; if not, what does not is left out.

    Returns:
        What was left out, or None.

    Raises:
        CheckpointError: Weights are missing, left over or of another shape.
    """
    expected = net.state_dict()
    if strict:
        require_fit(expected, state, path)
    fitting = {name: value for name, value in state.items() if name in expected and value.shape == expected[name].shape}
    net.load_state_dict(fitting, strict=strict)
    problem = mismatch(expected, state)
    return problem and f"{problem} ({_compared(state, expected)})"


def _compared(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    return difference(found, expected) or f"the option file builds {describe(expected)}"
