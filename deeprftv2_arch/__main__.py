"""``python -m deeprftv2_arch <command>``, also ``deeprftv2 <command>``."""

from deeprftv2_arch.commands.main import build_parser, main

__all__ = ["build_parser", "main"]

if __name__ == "__main__":
    main()
