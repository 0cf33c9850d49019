"""What a command line says, read without torch: its options, its configs, its mistakes."""
