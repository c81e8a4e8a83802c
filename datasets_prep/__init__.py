"""Preparation of the data sets: from the trees as people download them to LMDBs or folders that BasicSR reads.

Nothing here imports PyTorch or BasicSR: the commands start at once, also in the worker processes, and also run on a
machine that only holds the data.
"""
