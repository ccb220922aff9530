"""What taking over a return with an unknown past changes in it."""

from dataclasses import replace

from daemon.domain.events import returns as ev
from daemon.domain.returns import Note, Return


def adopted(event: ev.Adopted, ret: Return) -> Return:
    """The return becomes what the vendors show; its identity, and what was noted here, stay."""
    found = {note.key for note in event.found.notes}
    known: tuple[Note, ...] = tuple(note for note in ret.notes if note.key not in found)
    return replace(
        event.found,
        shop=ret.shop,
        return_id=ret.return_id,
        account=ret.account,
        created_at=ret.created_at,
        version=ret.version,
        notes=(*event.found.notes, *known),
        adopted_at=event.at,
        resume_state=None,
        attempts=0,
        transient_failures=0,
        verifications=0,
        passed_over_until=None,
        needs_read=False,
        held=False,
        amazon_due_at=None,
        portal_due_at=None,
        looked_at=None,
        deadline_at=None,
    )
