"""What may happen to a return."""
