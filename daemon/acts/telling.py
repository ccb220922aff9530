"""What the portal is told on the way: notes, grades, transit."""

from daemon.acts.desk import Desk, Outcome
from daemon.domain import events as ev
from daemon.domain.duties import Duty, gradable_lines
from daemon.domain.naming import note_marker, note_text
from daemon.domain.returns import Return
from daemon.domain.verdict import grades
from daemon.ports import Lane


async def write_notes(ret: Return, _: Duty, desk: Desk, __: bool) -> Outcome:
    """Write every owed note whose marker is not on the timeline yet."""
    there = await desk.portal.notes(ret.return_id)
    owed = ret.owed_notes()
    for note in owed:
        if not any(note_marker(ret, note.key) in text for text in there):
            await desk.portal.write_note(ret.return_id, note_text(ret, note))
    return ev.NotesWritten(at=desk.clock.now(), keys=tuple(note.key for note in owed))


async def grade_lines(ret: Return, _: Duty, desk: Desk, resumed: bool) -> Outcome:
    """Write condition and disposition of every line that is fully inspected; after a crash only what is not there."""
    lines = gradable_lines(ret)
    graded = assessed = grades(ret, lines, desk.policy.verdict)
    if resumed:
        details = await desk.portal.details(ret.return_id, Lane.BACKGROUND)
        there = {line.line_id: line for line in details.lines}
        graded = tuple(g for g in graded if g.line_id in there and there[g.line_id].grade != g.grade)
        assessed = tuple(g for g in assessed if g.line_id in there and there[g.line_id].disposition != g.disposition)
    if graded:
        await desk.portal.grade(graded)
    if assessed:
        await desk.portal.assess(assessed)
    return ev.LinesGraded(at=desk.clock.now(), line_ids=lines)


async def report_transit(ret: Return, duty: Duty, desk: Desk, _: bool) -> Outcome:
    """Tell a label's progress, if the shop wants it told; either way it is not owed again."""
    request = ret.request(duty.subject)
    assert request is not None  # noqa: S101 - the duty was read off this request
    if request.label_id is not None and desk.policy.reports(request.transit):
        await desk.portal.report_transit(request.label_id, request.transit)
    return ev.TransitReported(at=desk.clock.now(), request_id=duty.subject, transit=request.transit)
