"""What operators may ask of mcfd."""
