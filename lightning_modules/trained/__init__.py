"""Loading a trained model."""
