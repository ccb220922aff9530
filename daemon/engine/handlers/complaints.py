"""Reasons of refusals, without the shopper's data."""

from collections.abc import Collection
from contextlib import suppress

from daemon.domain.copies import replace
from daemon.domain.discretion import strike
from daemon.domain.orders import CreateAnswer
from daemon.domain.returns import Return
from daemon.engine.handlers.context import ShopContext
from daemon.errors import McfdError, Refused
from daemon.ports.vendors import Lane

MOST_REQUESTS = 5
READINGS = 2


async def problem_of(ret: Return, error: Exception, context: ShopContext) -> str:
    """The text of an error to store and show: for a refusal, the code and the vendor's words without the shopper's."""
    if not isinstance(error, McfdError):
        return f"an error in mcfd ({type(error).__name__})"
    if not isinstance(error, Refused) or not error.said:
        return str(error)
    words = strike(error.said, await _private_texts(ret, context))
    return f"{error}: {words}" if words else str(error)


async def without_shopper(ret: Return, answer: CreateAnswer, context: ShopContext) -> CreateAnswer:
    """Amazon's answer, with the shopper's data removed from its reasons of refusal."""
    if not any(item.description for item in answer.invalid_items):
        return answer
    private = await _private_texts(ret, context)
    items = (replace(item, description=strike(item.description, private)) for item in answer.invalid_items)
    return replace(answer, invalid_items=tuple(items))


async def without_private(ret: Return, said: str, context: ShopContext) -> str:
    """The portal's words, with the shopper's data removed; empty if these cannot be read."""
    return strike(said, await _private_texts(ret, context))


async def _private_texts(ret: Return, context: ShopContext) -> Collection[str]:
    """Texts that identify the shopper, never stored; empty if they cannot all be read."""
    texts: set[str] = set()
    for request in ret.requests[-MOST_REQUESTS:]:
        read = await _private_of(request.request_id, context)
        if not read:
            return ()
        texts.update(read)
    return texts


async def _private_of(request_id: str, context: ShopContext) -> Collection[str]:
    """One answer may get lost: the refusal is told only once, so its words are worth a second reading."""
    for _ in range(READINGS):
        with suppress(McfdError):
            return (await context.portal.label_request(request_id, Lane.SHOPPER)).private
    return ()
