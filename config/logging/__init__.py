"""The format of the log, and the redaction of secrets and personal data."""
