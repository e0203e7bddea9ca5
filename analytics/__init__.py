"""What the numbers mean: no screen, no queue."""
