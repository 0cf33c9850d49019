"""The page that samples from a trained model in the browser: a static folder, and a server for it."""
