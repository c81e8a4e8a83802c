"""Many images and videos: finding them, naming what becomes of them, and restoring one after the other."""
