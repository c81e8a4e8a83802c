"""Layers of UFPNet: networks that are told the blur kernel of every pixel (CVPR 2023)."""
