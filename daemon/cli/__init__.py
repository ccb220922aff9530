"""The `mcfd` command."""
