"""Checks what mcfd depends on, without changing anything, and gives advice."""
