"""What PostgreSQL says of itself: slow statements, indexes, locks, input and output."""
