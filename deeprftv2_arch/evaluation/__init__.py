"""Measuring a network as the published figures of a data set were measured."""
