"""Feature networks, one a file, and the table of them."""
