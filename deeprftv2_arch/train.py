"""``python -m deeprftv2_arch.train -opt FILE`` and ``torchrun -m deeprftv2_arch.train -opt FILE``: train a network."""

from deeprftv2_arch.commands.train_and_test import TRAIN, run_as_program, train

if __name__ == "__main__":
    run_as_program("python -m deeprftv2_arch.train", TRAIN, train)
