"""Reports to the portal: notes, grades, transit."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from daemon.domain.copies import replace
from daemon.domain.duties import gradable_lines
from daemon.domain.events import returns as ev
from daemon.domain.naming import joined_notes, joined_text, note_marker
from daemon.domain.portal import Grade, PortalLine
from daemon.domain.returns import Note, Return
from daemon.domain.verdict import grades
from daemon.domain.wording import FAILURE_NOTE, failure_words
from daemon.engine.handlers.complaints import without_private
from daemon.engine.handlers.context import Outcome, ShopContext, Step
from daemon.errors import Refused
from daemon.ports.names import quiet_mark
from daemon.ports.vendors import Lane

log = structlog.get_logger(__name__)

Write = Callable[[Sequence[Grade]], Awaitable[None]]


async def write_notes(step: Step, context: ShopContext) -> Outcome:
    """Write every owed note, several in one call where they fit; a refused note does not block the others.

    If a call's answer was lost, or the return's past is unknown, what is on the timeline already is not written again.
    """
    ret = step.ret
    owed = [await _completed(ret, note, context) for note in ret.owed_notes()]
    there = await context.portal.notes(ret.return_id) if step.resumed or ret.adopted_at is not None else ()
    missing = [note for note in owed if not any(note_marker(ret, note.key) in one.text for one in there)]
    for notes in joined_notes(ret, missing):
        await _write_note(ret, notes, context)
    context.overheard.forget((ret.shop, ret.return_id))
    known = {note.key: note.text for note in ret.owed_notes()}
    completed = tuple((note.key, note.text) for note in owed if note.text != known[note.key])
    return ev.NotesWritten(at=context.clock.now(), keys=tuple(known), completed=completed)


async def _completed(ret: Return, note: Note, context: ShopContext) -> Note:
    """The note, with what the portal said of the failure; only now are the shopper's data at hand to be left out."""
    said = context.overheard.said((ret.shop, ret.return_id))
    if not said or note.key != FAILURE_NOTE:
        return note
    words = await without_private(ret, said, context)
    return replace(note, text=failure_words(words)) if words else note


async def _write_note(ret: Return, notes: Sequence[Note], context: ShopContext) -> None:
    """Write notes in one call. If it is refused, write them one by one."""
    try:
        await context.portal.write_note(ret.return_id, joined_text(ret, notes))
    except Refused as error:
        if len(notes) == 1:
            log.warning("note.refused", ref=ret.ref, code=error.code)
            context.metrics.trouble("write_notes_refused")
            return
        for note in notes:
            await _write_note(ret, (note,), context)


async def grade_lines(step: Step, context: ShopContext) -> Outcome:
    """Write condition and disposition of every fully inspected line.

    After a crash, and if the return's past is unknown, only what is missing.
    """
    ret = step.ret
    lines = gradable_lines(ret)
    graded = assessed = grades(ret, lines, context.policy.verdict)
    if step.resumed or ret.adopted_at is not None:
        there = await _lines(ret, context)
        graded, assessed = _not_there(graded, there, "grade"), _not_there(assessed, there, "disposition")
    await _write(ret, graded, "grade", context.portal.grade, context)
    await _write(ret, assessed, "disposition", context.portal.assess, context)
    return ev.LinesGraded(at=context.clock.now(), line_ids=lines)


async def _write(ret: Return, wanted: Sequence[Grade], what: str, write: Write, context: ShopContext) -> None:
    """Write all lines in one call. If it is refused, write them one by one: one bad line fails the whole call."""
    try:
        if wanted:
            await write(wanted)
    except Refused as error:
        log.warning("grades.refused", ref=ret.ref, what=what, code=error.code, lines=len(wanted))
        if len(wanted) == 1:
            context.metrics.trouble("grade_lines_refused")
            return
        for grade in _not_there(wanted, await _lines(ret, context), what):
            await _write(ret, (grade,), what, write, context)


async def _lines(ret: Return, context: ShopContext) -> Mapping[str, PortalLine]:
    details = await context.portal.details(ret.return_id, Lane.BACKGROUND)
    return {line.line_id: line for line in details.lines}


def _not_there(wanted: Sequence[Grade], there: Mapping[str, PortalLine], what: str) -> tuple[Grade, ...]:
    """The grades that the portal lacks; lines removed meanwhile are dropped."""
    return tuple(g for g in wanted if g.line_id in there and getattr(there[g.line_id], what) != getattr(g, what))


async def report_transit(step: Step, context: ShopContext) -> Outcome:
    """Report a label's progress, if the shop wants that; either way it is not owed again."""
    request = step.ret.request(step.duty.subject)
    assert request is not None  # noqa: S101 - the step.duty was read off this request
    quiet = await context.store.read(lambda uow: uow.mark(quiet_mark(step.ret.shop)))
    if request.label_id is not None and not quiet and context.policy.reports(request.transit):
        await context.portal.report_transit(request.label_id, request.transit)
    return ev.TransitReported(at=context.clock.now(), request_id=step.duty.subject, transit=request.transit)
