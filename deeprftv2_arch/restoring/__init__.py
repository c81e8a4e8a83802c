"""Restoring pictures with trained networks: in Python, and as a command."""
