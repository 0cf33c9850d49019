"""What both packages need: files, locks, progress, text."""
