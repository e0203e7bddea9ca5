"""What pages draw with. Components take values and draw them; they never fetch."""
