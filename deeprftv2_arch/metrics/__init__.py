"""Figures of restored pictures beside BasicSR's own, by the protocols of the deblurring literature."""
