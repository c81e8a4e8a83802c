"""Preparation of the data sets: from the trees as people download them to LMDBs or folders that BasicSR reads."""
