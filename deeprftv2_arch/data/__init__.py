"""Data sets and samplers."""
