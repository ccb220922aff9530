"""EasyPost's bytes to our values, and back. No I/O."""
