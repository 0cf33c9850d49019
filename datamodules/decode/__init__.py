"""One image file as pixels."""
