"""The page's code against the Python it is ported from."""
