"""What taking over a return with an unknown past changes in it."""

from daemon.domain.copies import replace
from daemon.domain.duties import possible_calls
from daemon.domain.events import returns as ev
from daemon.domain.problems import ProblemCode
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
        unproven=False,
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


def doubted(event: ev.Doubted, ret: Return) -> Return:
    """The return does nothing more by itself."""
    return replace(ret, unproven=True, problem=event.problem, problem_code=ProblemCode.UNPROVEN)


def proven(event: ev.Proven, ret: Return) -> Return:
    """It goes on, and looks first for whatever the store may have forgotten."""
    doubted = ret.problem_code is ProblemCode.UNPROVEN
    return replace(
        ret,
        unproven=False,
        adopted_at=event.at,
        pending_calls=possible_calls(ret),
        problem="" if doubted else ret.problem,
        problem_code=None if doubted else ret.problem_code,
    )
