"""Loop's side of the sandbox."""
