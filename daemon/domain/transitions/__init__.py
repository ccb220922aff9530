"""What each event does to a return."""
