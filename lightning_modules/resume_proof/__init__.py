"""Proof that a run survives being killed: the same training, uninterrupted and killed again and again."""
