"""Training: a recipe becomes a checkpoint."""
