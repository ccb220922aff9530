"""What calls to all vendors share: HTTP, rate limits, lanes, and pauses after refusals."""
