"""Restoring images with trained networks: in Python, and as a command."""
