"""Which process of how many: torchrun's and Slurm's variables."""

from typing import Any

import pytest

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.launch.processes import Process, find_process, first_host

pytestmark = pytest.mark.slow

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
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
