"""The commands of ``python -m deeprftv2_arch``: thin, and without PyTorch until one of them runs."""
