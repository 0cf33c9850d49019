"""Samplers, and the table of them."""
