"""Layers of normalizing flows: maps that can be inverted, with the logarithm of their determinant."""
