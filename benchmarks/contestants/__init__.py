"""The contestants of quality_per_minute.py: how each trains for a time, and how each draws images."""
