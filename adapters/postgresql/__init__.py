"""Returns in a PostgreSQL database: connecting, migrating, and the leases of nodes."""
