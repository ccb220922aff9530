"""How any vendor is called: HTTP, limits, lanes, and pauses after refusals."""
