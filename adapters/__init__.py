"""Everything that speaks somebody else's language."""
