"""Returns in a PostgreSQL database: connecting, migrating, and one daemon per database."""
