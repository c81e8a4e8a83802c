"""Measurements of speed, memory and size; every module prints a table and can write it to ``benchmarks/results``."""
