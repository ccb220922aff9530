"""What the stores share: the statements, the mapping of rows, and the writer with its group commit."""
