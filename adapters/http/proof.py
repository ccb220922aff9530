"""How the daemon proves that it knows the ops token before a client sends the token.

While mcfd is down, any user of the machine may listen on its port; a token sent to them would be lost.
"""

import hashlib
import hmac

PATH = "/proof"
LONGEST_NONCE = 128


def proof(token: bytes, port: int, nonce: str) -> str:
    """Compute the answer to a nonce. It includes the port, so that another listener cannot relay the nonce to mcfd."""
    asked = f"mcfd ops listener\n{port}\n{nonce}".encode("utf-8", "replace")
    return hmac.new(token, asked, hashlib.sha256).hexdigest()
