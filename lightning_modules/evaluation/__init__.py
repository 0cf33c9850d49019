"""How good a model's images are, with floors, ceilings and intervals."""
