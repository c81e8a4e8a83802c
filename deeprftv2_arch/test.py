"""``python -m deeprftv2_arch.test -opt FILE`` and ``torchrun -m deeprftv2_arch.test -opt FILE``: test a network."""

from deeprftv2_arch.commands.train_and_test import TESTING, run_as_program

if __name__ == "__main__":
    run_as_program(TESTING)
