"""Performs each duty: thin coroutines that ask a vendor and pass the answer to the rules."""
