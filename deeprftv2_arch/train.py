"""``python -m deeprftv2_arch.train -opt FILE`` and ``torchrun -m deeprftv2_arch.train -opt FILE``: train a network."""

from deeprftv2_arch.commands.outcome import run_command
from deeprftv2_arch.launch.pipeline import run_training

if __name__ == "__main__":
    run_command("python -m deeprftv2_arch.train", run_training)
