"""What the portal is told of inspections: notes, grades and dispositions, each once."""

import pytest

from daemon.domain.naming import note_marker
from daemon.domain.returns import State
from daemon.domain.verdict import Treatment
from daemon.errors import Refused, StoreUnavailable, Unavailable
from tests.services.stage import DAY, HOUR, ORDER_TEMPLATES
from tests.support.builders import a_line
from tests.support.configured import a_policy, judgement
from tests.support.fakes import Killed

LOST = Unavailable("time-out")


def notes(stage, words="") -> list[str]:
    """The notes on the timeline that say this."""
    return [note for note in stage.portal.returns["77"].notes if words in note]


def markers(stage) -> list[str]:
    """The marks that open the notes, in the order of the timeline."""
    return [note.split("]")[0] for note in notes(stage)]


class TestNotes:
    async def test_a_note_whose_answer_was_lost_is_not_written_again(self, stage):
        """Its marker is on the timeline: that is enough."""
        stage.portal.fail("write_note", LOST, after=True)
        await stage.sent()
        await stage.pass_time(HOUR)

        assert len(notes(stage, "Return created in Amazon")) == 1
        assert len(markers(stage)) == len(set(markers(stage)))
        assert all(note.written for note in (await stage.ret()).notes)

    async def test_notes_owed_together_are_written_in_one_call(self, stage):
        """Both fit into one text. Without an unclear call before, the timeline is not even read."""
        await stage.sent()

        assert stage.portal.count("write_note") == 1
        assert stage.portal.count("notes") == 0
        assert len(notes(stage)) == 2

    async def test_a_note_that_was_not_written_is_written_later(self, stage):
        """No answer and no effect: the note comes when Loop is back."""
        stage.portal.fail("write_note", LOST)
        await stage.sent()
        await stage.pass_time(HOUR)

        assert len(notes(stage, "Return created in Amazon")) == 1

    async def test_a_process_that_dies_between_the_notes_and_the_save_writes_none_again(self, stage):
        """The notes are there and our row does not know: the next process reads the timeline first."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.AWAITING_INSPECTION)
        stage.portal.meanwhile("write_note", _die, after=True)
        with pytest.raises(Killed):
            await stage.step()
        before = list(notes(stage))
        await stage.restart()
        await stage.work()

        assert len(before) == 2
        assert notes(stage) == before

    async def test_a_store_that_fails_after_the_notes_writes_none_again(self, stage):
        """The disk was full when the notes should have been ticked off: they are found on the timeline."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.AWAITING_INSPECTION)
        stage.store.fail(StoreUnavailable("disk full"), skip=1)  # the first one saves the intention
        with pytest.raises(StoreUnavailable):
            await stage.step()
        before = list(notes(stage))
        await stage.work()

        assert len(before) == 2
        assert notes(stage) == before

    async def test_a_note_is_found_by_its_marker_alone(self, stage):
        """Loop may show a note's text changed: its marker decides."""
        stage.ship(SOCK=1)
        await stage.submit()
        while not (await stage.ret()).owed_notes():
            await stage.step()
        ret = await stage.ret()
        mark = note_marker(ret, ret.owed_notes()[0].key)
        stage.portal.fail("write_note", LOST)
        stage.portal.returns["77"].notes.append(f"<p>{mark} something else</p>")
        await stage.reach(State.AWAITING_INSPECTION)
        await stage.work()

        assert len(notes(stage, mark)) == 1

    async def test_markers_differ_and_stay_the_same(self, stage):
        """Each note opens with a mark of its own, derived from what it is about."""
        await stage.sent()
        first = markers(stage)

        assert len(set(first)) == len(first) == 2
        assert all(mark.startswith("[mcfd ") for mark in first)

    async def test_notes_keep_loops_limit(self, stage):
        """A return of very many SKUs has notes of 250 characters at most, cut with an ellipsis."""
        lines = [a_line(str(n), f"SOCK-OF-A-VERY-LONG-NAME-{n}") for n in range(20)]
        await stage.sent(*lines)

        assert max(len(note) for note in notes(stage)) == 250
        assert all(len(note) <= 250 for note in notes(stage))
        assert any(note.endswith("…") for note in notes(stage))

    async def test_a_refused_note_is_let_go_and_counted(self, stage):
        """Of two notes written in one call, only the one that Loop refuses by itself is lost; the return goes on."""
        stage.portal.fail("write_note", Refused("UNPROCESSABLE", "content"), times=2)
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.CLOSED)

        assert stage.metrics.troubles["write_notes_refused"] == 1
        assert (len(notes(stage, "Return created")), len(notes(stage, "Label delivered"))) == (0, 1)
        assert len(stage.portal.returns["77"].records) == 1

    async def test_each_inspection_is_noted_once(self, stage):
        """Units are noted as they are found; looking again adds nothing."""
        await stage.sent(a_line("1"), a_line("2"))
        await stage.inspect("Sellable", line="1")
        await stage.pass_time(2 * DAY)
        assert len(notes(stage, "Amazon inspected")) == 1

        await stage.inspect("CarrierDamaged", line="2")
        await stage.pass_time(2 * DAY)
        assert len(notes(stage, "Amazon inspected")) == 2
        assert len(notes(stage, "damaged by the carrier")) == 2  # the inspection, and the verdict


class TestGrades:
    async def test_each_line_is_graded_and_assessed_once(self, stage):
        """Grade and disposition follow the table of conditions; later looks repeat neither."""
        await stage.sent(a_line("1"), a_line("2"))
        await stage.inspect("Sellable", line="1")
        await stage.inspect("CarrierDamaged", line="2")
        await stage.pass_time(5 * DAY)

        loop = stage.portal.returns["77"]
        assert [(x.grade, x.disposition) for x in loop.lines] == [
            ("grade_a", "back_to_stock"),
            ("grade_c", "resale_hold"),
        ]
        assert loop.grades == loop.assessments == {"1": 1, "2": 1}

    async def test_a_line_is_graded_as_soon_as_it_is_found(self, stage):
        """The first unit does not wait for its sibling."""
        await stage.sent(a_line("1"), a_line("2"))
        await stage.inspect("Sellable", line="1")
        await stage.pass_time(DAY)

        assert stage.portal.returns["77"].grades == {"1": 1}
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    @pytest.mark.parametrize(("operation", "graded", "assessed"), [("grade", 1, 1), ("assess", 1, 1)])
    async def test_after_a_lost_answer_only_what_is_missing_is_written(self, stage, operation, graded, assessed):
        """Grade and assess are two calls: what the details show already is not written again."""
        await stage.sent()
        await stage.inspect("Defective")
        stage.portal.fail(operation, LOST, after=True)
        await stage.reach(State.IN_REVIEW)

        loop = stage.portal.returns["77"]
        assert (loop.grades["1"], loop.assessments["1"]) == (graded, assessed)

    async def test_after_a_crash_between_the_two_calls_only_the_second_is_made(self, stage):
        """The grade is in the portal, the disposition is not: the next process writes the disposition alone."""
        await stage.sent()
        await stage.inspect("Defective")
        stage.portal.meanwhile("assess", _die)
        with pytest.raises(Killed):
            await stage.pass_time(DAY)
        await stage.restart()
        await stage.reach(State.IN_REVIEW)

        assert stage.portal.count("grade") == 1
        assert stage.portal.returns["77"].assessments == {"1": 1}

    async def test_refused_grades_are_let_go_and_counted(self, stage):
        """The merchant may not have grading: the return is settled all the same."""
        await stage.sent()
        await stage.inspect()
        stage.portal.fail("grade", Refused("FORBIDDEN", "not enabled"))
        await stage.reach(State.CLOSED)

        assert stage.metrics.troubles["grade_lines_refused"] == 1
        assert stage.portal.returns["77"].assessments["1"] == 1  # the disposition is a call of its own
        assert len(stage.portal.returns["77"].records) == 1

    async def test_a_correction_before_the_verdict_grades_anew(self, stage):
        """Amazon looks twice: while a sibling is still awaited, the new condition counts."""
        await stage.sent(a_line("1"), a_line("2"))
        await stage.inspect("Sellable", line="1")
        await stage.pass_time(DAY)
        await stage.inspect("Defective", line="1")
        await stage.pass_time(DAY)

        assert stage.portal.returns["77"].lines[0].grade == "grade_d"
        assert len(notes(stage, "Amazon inspected SOCK")) == 2

    async def test_a_correction_after_the_verdict_is_noted_only(self, stage):
        """What was settled stays settled: a later word of Amazon's is a note."""
        await stage.sent()
        await stage.inspect("Sellable")
        await stage.reach(State.CLOSED)
        await stage.pass_time(DAY)
        await stage.inspect("Defective")
        await stage.pass_time(8 * DAY)

        loop = stage.portal.returns["77"]
        assert len(notes(stage, "defective")) == 1
        assert (loop.lines[0].grade, loop.grades["1"], loop.flags) == ("grade_a", 1, 0)
        assert (await stage.ret()).state is State.CLOSED


class TestConditions:
    async def test_a_condition_that_comes_late_is_waited_for(self, stage):
        """Processed without a condition: nothing is decided until the grace is over, or the condition comes."""
        await stage.sent()
        await stage.inspect(None)
        await stage.pass_time(20 * HOUR)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        assert stage.portal.returns["77"].grades == {}

        await stage.inspect("Sellable")
        await stage.reach(State.CLOSED)
        assert stage.portal.returns["77"].flags == 0

    async def test_a_condition_that_never_comes_is_for_a_person(self, stage):
        """After `condition_grace` a unit without a condition is discrepant, and no condition is made up for it."""
        await stage.sent()
        await stage.inspect(None)
        await stage.reach(State.IN_REVIEW, within=3 * DAY)

        assert stage.portal.returns["77"].grades == {}
        assert len(notes(stage, "condition not given")) == 2

    async def test_a_shop_may_take_an_absent_condition_for_clean(self, open_with):
        """`condition_absent: clean` processes such a return after the grace."""
        verdict = judgement(absent=Treatment.PROCESS)
        stage = await open_with(policy=a_policy(order_id_templates=ORDER_TEMPLATES, verdict=verdict))
        await stage.sent()
        await stage.inspect(None)

        await stage.reach(State.CLOSED, within=3 * DAY)
        assert len(stage.portal.returns["77"].records) == 1

    async def test_an_unknown_condition_is_never_taken_for_clean(self, stage):
        """A word that nobody has listed is passed on as Amazon's own, and goes to review."""
        await stage.sent()
        await stage.inspect("Moldy")
        await stage.reach(State.IN_REVIEW)

        assert stage.portal.returns["77"].records == []
        assert any("Moldy" in note for note in notes(stage))


async def _die():
    raise Killed
