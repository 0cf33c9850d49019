"""From a trained model to a numbered set of images."""
