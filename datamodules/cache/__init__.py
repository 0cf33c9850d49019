"""Images decoded once into one memory-mapped file."""
