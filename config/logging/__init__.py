"""What the log looks like, and what never gets into it."""
