"""What a run logs: TensorBoard and metrics.csv."""
