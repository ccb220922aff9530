"""What can go wrong, sorted by who must act next.

McfdError
├─ Transient            time          Unavailable (connect, time-out, 5xx) · RateLimited · ShopPaused
├─ Refused              a person      the vendor said no for good
├─ CredentialsRefused   the operator  the vendor does not accept who we are · SecretExpired
├─ ContractBroken       a programmer  the vendor sent what we cannot read
├─ StoreUnavailable     the operator  the database cannot be written or read just now
├─ OperatorError        the operator  what was asked cannot be done
├─ IllegalTransition · StaleReturn    a programmer · nobody, read again
├─ WebhookRejected      the sender    BadSignature · TooLarge · Encoded
├─ ServiceEnded         systemd       exit 1, restarted
├─ AlreadyRunning       the operator  exit 75, another daemon holds the state directory
└─ ConfigError          the operator  exit 78, not restarted

Errors are classified once, at the edge. Their text is safe to log: it never carries a body, a token or an address.
"""

from collections.abc import Sequence
from typing import Any


class McfdError(Exception):
    """The root of everything mcfd raises on purpose."""


class Transient(McfdError):
    """Time heals it; `retry_after` is in seconds when the vendor named one."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(Transient):
    """No usable answer. `unclear` says that the request may still have had its effect."""

    def __init__(self, message: str, *, unclear: bool = True, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.unclear = unclear


class ShopPaused(Transient):
    """An operator has paused the shop, so the call was not made."""


class LeaseLost(Transient):
    """Another node works the account, or may; the call was not made, and nothing was stored."""


class TooEarly(Transient):
    """Another node may have just made this call; it was not made again."""


class RateLimited(Transient):
    """The vendor's limit was hit; the request had no effect."""


class Refused(McfdError):
    """The vendor said no, and asking again will not change it.

    `code` is the vendor's own word, or one of ours; `message` is ours. `said` are the vendor's words, which may name
    the shopper: the error's text leaves them out, and `discretion.strike` must clean them before anybody sees them.
    """

    def __init__(self, code: str, message: str = "", *, said: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.said = said


class CredentialsRefused(McfdError):
    """The vendor does not accept our credentials; the connection is parked for `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 300.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SecretExpired(CredentialsRefused):
    """The client secret has expired or was just replaced. This heals by itself, so it is tried again soon."""


class ContractBroken(McfdError):
    """The vendor sent something we cannot read, and we do not guess. The text names the field, never its value."""


class ListCut(ContractBroken):
    """A list was cut short; `found` holds the rows that could be read."""

    def __init__(self, message: str, found: Sequence[Any]) -> None:
        super().__init__(message)
        self.found = found


class StoreUnavailable(McfdError):
    """The database is full, locked or unwritable; nothing of the unit of work was kept."""


class OperatorError(McfdError):
    """What a person asked cannot be done; the text says why and what to do."""


class IllegalTransition(McfdError):
    """An event that is not allowed in the return's state."""


class StaleReturn(McfdError):
    """Somebody else saved the return first; read it again."""


class WebhookRejected(McfdError):
    """The request is not a delivery from Loop; `status` is the answer, `kind` the metric label."""

    status = 400
    kind = "rejected"


class BadSignature(WebhookRejected):
    """The signature is missing or does not match any configured secret."""

    status = 401
    kind = "bad_signature"


class TooLarge(WebhookRejected):
    """The body is larger than any delivery from Loop."""

    status = 413
    kind = "too_large"


class Crowded(WebhookRejected):
    """Too many large bodies are being received, and this is another one; it may be sent again."""

    status = 503
    kind = "crowded"


class Encoded(WebhookRejected):
    """The body is compressed; unsigned bytes are never decompressed."""

    status = 415
    kind = "encoded"


class ServiceEnded(McfdError):
    """A service that must run for ever came to an end."""


class AlreadyRunning(McfdError):
    """Another daemon holds the state directory; `holder` is its process id in words, where that is known."""

    def __init__(self, text: str, holder: str = "") -> None:
        super().__init__(text)
        self.holder = holder


class ConfigError(McfdError):
    """The configuration is wrong. `problems` lists all of them, each naming its path and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class NoDatabase(ConfigError):
    """Nothing to read yet: mcfd has never been started here."""
