"""Videos in files: whether one is whole, reading its frames, and writing frames with the sound of another."""
