"""What a person may ask of mcfd."""
