"""How a person or a script controls the sandbox."""
