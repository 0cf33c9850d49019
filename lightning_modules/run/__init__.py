"""Finding, locking and continuing a run: which directory, which checkpoint, at which position of the data."""
