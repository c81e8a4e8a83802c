"""Measuring trained networks: testing as BasicSR does, evaluation by published protocols, and their reports."""
