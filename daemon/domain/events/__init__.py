"""The events of a return."""
