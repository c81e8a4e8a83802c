"""Which process of how many: torchrun's and Slurm's variables."""

from typing import Any

import pytest

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.launch.processes import Process, find_process, first_host

pytestmark = pytest.mark.slow

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
SRUN: dict[str, Any] = {
    "SLURM_PROCID": "6",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_NTASKS": "16",
    "SLURM_LOCALID": "2",
    "SLURM_STEP_NODELIST": "gpu[003-004]",
    "SLURM_NODELIST": "gpu[001-004]",
}
BATCH_SCRIPT: dict[str, Any] = {
    "SLURM_PROCID": "0",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "0",
    "SLURM_NODELIST": "gpu[003-004]",
}


@pytest.mark.parametrize(
    ("launcher", "environment", "expected"),
    [
        (None, {}, Process()),
        (None, TORCHRUN, Process(5, 8, 1, "env://")),
        (None, SRUN, Process(6, 8, 2, "tcp://gpu003:29500")),
        (None, SRUN | TORCHRUN, Process(5, 8, 1, "env://")),  # torchrun started by srun, one per machine
        (None, BATCH_SCRIPT, Process()),
        ("slurm", BATCH_SCRIPT | {"MASTER_PORT": "1234"}, Process(0, 8, 0, "tcp://gpu003:1234")),
        ("slurm", SRUN | {"MASTER_ADDR": "10.0.0.1"}, Process(6, 8, 2, "tcp://10.0.0.1:29500")),
        ("none", TORCHRUN, Process()),
        ("pytorch", TORCHRUN, Process(5, 8, 1, "env://")),
    ],
)
def test_process_is_found_in_the_environment(launcher: str, environment: dict[str, str], expected: Process) -> None:
    assert find_process(launcher, None, environment) == expected
    assert expected.distributed == (expected.init_method is not None)


def test_port_of_the_option_file_comes_first() -> None:
    assert find_process(None, 4321, SRUN | {"MASTER_PORT": "1234"}).init_method == "tcp://gpu003:4321"


@pytest.mark.parametrize(("launcher", "message"), [("pytorch", "RANK.*torchrun"), ("slurm", "SLURM_NODELIST.*srun")])
def test_launcher_that_has_not_started_the_process(launcher: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        find_process(launcher, None, {})


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (TORCHRUN | {"WORLD_SIZE": "abc"}, "WORLD_SIZE='abc': expected a number; unset what is left"),
        (TORCHRUN | {"RANK": "8"}, "RANK=8: expected a number below WORLD_SIZE=8; unset what is left"),
        (TORCHRUN | {"RANK": ""}, "RANK is not set; start with torchrun"),
        (TORCHRUN | {"MASTER_ADDR": ""}, "MASTER_ADDR: is not set, though RANK is; start with torchrun"),
        (TORCHRUN | {"MASTER_PORT": "x"}, "MASTER_PORT='x': expected a number"),
        (SRUN | {"SLURM_PROCID": "\x1b[31m"}, r"SLURM_PROCID='\\x1b\[31m': expected a number"),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "many"}, "SLURM_STEP_NUM_TASKS='many': expected a number"),
    ],
)
def test_variables_left_over_are_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        find_process(None, None, environment)


def test_empty_variables_of_slurm_are_none() -> None:
    assert find_process(None, None, {"SLURM_STEP_NUM_TASKS": "", "SLURM_PROCID": ""}) == Process()


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("login", "login"),
        ("a1,a2", "a1"),
        ("gpu[001-004,9],login", "gpu001"),
        ("gpu-a[7,9-12]", "gpu-a7"),
        ("rack[1-2]node[3-4]", "rack1node3"),
        ("node[01-02].cluster.org", "node01.cluster.org"),
    ],
)
def test_first_host(nodes: str, host: str) -> None:
    assert first_host(nodes) == host
