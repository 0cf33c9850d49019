"""The page that tells of a run, `report.html`: one file without network or script, at any time of the run."""
