"""Whether the portal shows that mcfd has worked on a return."""

from daemon.domain.adoption import bears_marks
from daemon.domain.portal import PortalReturn
from daemon.engine.handlers.context import ShopContext


async def bears_traces(details: PortalReturn, context: ShopContext) -> bool:
    """Whether one of its labels is hosted here, or a note on its timeline is ours."""
    if any(context.labels.hosting.is_ours(url) for url in details.label_urls):
        return True
    return bears_marks(await context.portal.notes(details.return_id))
