"""Data sets that a name is enough for."""
