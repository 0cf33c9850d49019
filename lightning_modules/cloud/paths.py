"""Where things are in a container."""

DATA = "/data"
"""Where the data Volume is mounted: data sets by name, and `cache/` with the decoded images."""

RUNS = "/runs"
"""Where the runs Volume is mounted: `<experiment>/<run>/`, as in `runs/` elsewhere."""

CODE = "/root"
"""Where the project's packages and configs are, as in a clone."""
