"""``python -m deeprftv2_arch.train -opt FILE`` and ``torchrun -m deeprftv2_arch.train -opt FILE``: train a network."""

from deeprftv2_arch.commands.train_and_test import TRAINING, run_as_program

if __name__ == "__main__":
    run_as_program(TRAINING)
