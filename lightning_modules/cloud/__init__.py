"""What training on Modal needs: settings, launch, image, container, cost. Importing it loads no torch."""
