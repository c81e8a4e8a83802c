"""Restoring images with a trained network.

Here stands the :class:`~deeprftv2_arch.restoring.restorer.Restorer` with what it needs: tiles, the memory, the types
of images, and images in files. Below: ``videos``, read, restored and written frame by frame; and ``batch``, many files
one after the other, as the command ``restore`` does it.
"""
