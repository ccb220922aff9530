"""The `mcfd` command, and nothing but the command."""
