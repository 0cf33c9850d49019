"""What Modal is asked for, what it costs, and what it has cost."""
