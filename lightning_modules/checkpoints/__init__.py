"""Checkpoints that are whole or not there: written, verified, loaded, kept and deleted."""
