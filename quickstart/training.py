"""Training by BasicSR's own loop, in a process of its own whose log drives a progress bar."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from deeprftv2_arch.errors import DeepRFTv2Error
from deeprftv2_arch.options.option_file import read_option_file

CHECKOUT = Path(__file__).resolve().parents[1]

_ITERATION = re.compile(r"\biter:\s*([\d,]+)")
_LOSS = re.compile(r"\] (\w+): (\S+)")  # the first of those that the log names


def train(option_file: Path, out: Path, iterations: int, seed: int, threads: int) -> Path:
    """Train on the databases of ``out`` and return the file of the weights.

    Args:
        option_file: Network and training.
        out: Folder that gets ``experiments/``, with the log, the weights and the validation's images.
        iterations: Number of training steps; the learning rate falls to zero over them.
        seed: Of the first weights, the order of the data, the crops and the flips.
        threads: Threads that PyTorch may use.

    Raises:
        DeepRFTv2Error: Training ended early; the message has the last line of its output.
    """
    options = read_option_file(option_file)
    changes = [f"manual_seed={seed}", f"train:total_iter={iterations}", f"train:scheduler:T_max={iterations}"]
    stages = options["datasets"]["train"].get("patch_stages", ())
    changes += [f"datasets:train:patch_stages={json.dumps([stage | {'iters': iterations}])}" for stage in stages]
    command = [sys.executable, "-m", "deeprftv2_arch.train", "-opt", str(option_file), "--force_yml", *changes]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": str(threads),
    }
    last_line = "it said nothing"
    with (
        tqdm(total=iterations, desc=f"training {options['name']}", unit="it") as bar,
        subprocess.Popen(
            command, cwd=out, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        for line in process.stdout or ():
            last_line = line.strip() or last_line
            if iteration := _ITERATION.search(line):
                bar.update(int(iteration[1].replace(",", "")) - bar.n)
                if loss := _LOSS.search(line):
                    bar.set_postfix_str(f"{loss[1]} {float(loss[2]):.4g}")
    if process.returncode:
        raise DeepRFTv2Error(f"training stopped with exit code {process.returncode}: {last_line}")
    return out / "experiments" / str(options["name"]) / "models" / "net_g_latest.pth"
