"""Lightning callbacks. They reach the model through `DiffusionModule`'s public methods only."""
