"""The commands: the command line of each, and where it leads. None imports what is heavy before it must."""
