"""The layers of ATD, the Adaptive Token Dictionary transformer ("Transcending the Limit of Local Window", CVPR 2024).

Features are (B, H, W, C) between the layers, so that a pixel is a token. Parameters have the names of the public
implementation, whose checkpoints therefore load as they are.
"""
