"""Read-only questions to both vendors, with advice for whatever is wrong."""
