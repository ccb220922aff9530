"""How a person or a script moves the sandbox's world."""
