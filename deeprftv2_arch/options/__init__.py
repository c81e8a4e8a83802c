"""Option files: read safely, checked, and turned into values."""
