"""``python -m deeprftv2_arch.test -opt FILE`` and ``torchrun -m deeprftv2_arch.test -opt FILE``: test a network."""

from deeprftv2_arch.commands.outcome import run_command
from deeprftv2_arch.launch.pipeline import run_testing

if __name__ == "__main__":
    run_command("python -m deeprftv2_arch.test", run_testing)
