"""Images as files, grids and charts."""
