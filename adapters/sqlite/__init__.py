"""Returns in one SQLite file: one writer, group commit, one unit of work per change."""
