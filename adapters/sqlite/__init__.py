"""Returns in one SQLite file: opening, checking, backup and restore."""
