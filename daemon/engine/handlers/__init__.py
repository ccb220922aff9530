"""How each duty is performed: thin coroutines that ask a vendor and hand the answer to the rules."""
