"""Metrics of restored images beside BasicSR's own, and the protocols of the deblurring literature.

Nothing here imports BasicSR while it is imported, so that commands can name the protocols at once.
"""
