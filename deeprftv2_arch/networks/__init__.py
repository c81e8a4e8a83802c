"""The registered networks, composed of the layers in :mod:`deeprftv2_arch.layers`."""
