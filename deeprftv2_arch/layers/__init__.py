"""The layers that the networks compose, one concept per file."""
