"""What happens to returns: what is heard, what is due, what is done and what is saved."""
