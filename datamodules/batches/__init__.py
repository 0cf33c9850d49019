"""Batches that are a pure function of (seed, number)."""
