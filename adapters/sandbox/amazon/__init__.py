"""Amazon's side of the sandbox."""
