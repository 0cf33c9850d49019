"""A folder of images as an immutable list of files, labels and content hashes."""
