"""Averages of the weights over training: their lengths, their names, and those made after the run."""
