"""EasyPost's side of the sandbox."""
