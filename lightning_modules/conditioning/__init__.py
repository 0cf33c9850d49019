"""What a model can be asked for: kinds of condition, and class labels, the usual one."""
