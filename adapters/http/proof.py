"""How the daemon proves that it knows the ops token, before anybody sends it.

Its port is one that any user of the machine may take while mcfd is down, and a token that is sent there is given away.
"""

import hashlib
import hmac

PATH = "/proof"
LONGEST_NONCE = 128


def proof(token: bytes, port: int, nonce: str) -> str:
    """What the listener of that port answers to a nonce; so no other listener can have the daemon answer for it."""
    asked = f"mcfd ops listener\n{port}\n{nonce}".encode("utf-8", "replace")
    return hmac.new(token, asked, hashlib.sha256).hexdigest()
