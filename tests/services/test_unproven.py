"""A store that may know less than the vendors: nothing is done on its word until adopt has compared its returns."""

import asyncio
import shutil
import threading
from collections import Counter
from itertools import count

import pytest

from adapters.sqlite.backup import copy_database
from adapters.sqlite.generation import GenerationFile
from adapters.sqlite.restore import restore_database
from daemon.domain.portal import PortalState, RequestIssued
from daemon.domain.problems import ProblemCode
from daemon.domain.provenance import Origin, Proof, origin
from daemon.domain.returns import State
from daemon.engine.adoption import Adoption, AdoptionResult, Kind
from daemon.engine.provenance import Provenance, proofs
from daemon.errors import OperatorError
from daemon.operations.adoptions import Adoptions
from daemon.operations.verbs.adoption import Adopt
from tests.services.parcels import buying
from tests.services.stage import DAY, HOUR, ORDER, ORDER_TEMPLATES
from tests.support.builders import NOW, a_line
from tests.support.configured import a_policy
from tests.support.fakes import LoopReturn

PAGE = a_policy(order_id_templates=ORDER_TEMPLATES)
READS = {"label_request", "issued_requests", "cancelled_requests", "updated_returns", "details", "notes", "requests_of"}
READS |= {
    "order",
    "orders_since",
    "reason_codes",
    "document",
    "track",
    "returns_made",
    "known_by_number",
    "made_before",
}
ONCE = ("create_return", "buy", "deliver_label", "flag", "process")
NAMES = count(1)


class Daemon:
    """A stage whose store has a name, as the composition root gives it at each start."""

    def __init__(self, stage):
        self.stage = stage

    def provenance(self):
        """Compares and renews the name."""
        beside = GenerationFile(self.stage.path)
        return Provenance(self.stage.sqlite, beside, self.stage.clock, lambda: f"name-{next(NAMES)}")

    async def check(self):
        """What a start does."""
        await self.provenance().check(["acme"])

    async def kill(self):
        """The process ends without a word, and the next one starts."""
        await self.stage.restart()
        await self.check()

    async def put_back(self, copy, *, by_hand=False):
        """Stop, put a copy in the database's place, start."""
        await self.provenance().last()
        await self.stage.stop()
        if by_hand:
            for ending in ("-wal", "-shm"):
                self.stage.path.with_name(self.stage.path.name + ending).unlink(missing_ok=True)
            shutil.copy(copy, self.stage.path)
        else:
            restore_database(copy, self.stage.path, "stamp")
        await self.stage.start()
        await self.check()

    async def adopt_open(self, **how):
        """Run `mcfd adopt --open` to its end."""
        stage = self.stage
        adoptions = Adoptions(Adoption(stage.contexts), stage.contexts, stage.sqlite, stage.clock)
        given = Adopt(open_=True, by="operator", **how)
        job = adoptions._job(given)
        await adoptions._work(job, asyncio.Event())
        assert not job.problem
        return job.summary

    async def proof(self):
        """How far the store can be trusted."""
        return (await self.stage.store.read(lambda uow: proofs(uow, ["acme"])))["acme"]


@pytest.fixture
async def daemon(open_with):
    """A daemon that has started over an empty store, ten minutes ago."""
    stage = await open_with(policy=PAGE)
    daemon = Daemon(stage)
    await daemon.check()
    stage.clock.advance(600.0)
    return daemon


def backup(stage, tmp_path):
    """What `mcfd backup` writes."""
    copy = tmp_path / "backup.db"
    copy_database(stage.path, copy, threading.Event())
    return copy


def sent(stage):
    """What was sent to the vendors, counted."""
    calls = [*stage.portal.calls, *stage.network.calls, *stage.postage.calls]
    return Counter(call.operation for call in calls if call.operation not in READS)


def once_each(stage, return_id="77"):
    """Whether every note was written once, by its marker."""
    return set(Counter(note.partition("]")[0] for note in stage.portal.returns[return_id].notes).values()) <= {1}


class TestNoticing:
    @pytest.mark.parametrize(
        ("kept", "beside", "empty", "found"),
        [
            ("b", ["a", "b"], False, Origin.SAME),
            ("a", ["a", "b"], False, Origin.SAME),
            ("a", ["b"], False, Origin.RESTORED),
            ("a", None, False, Origin.RESTORED),
            ("copy", ["a"], True, Origin.RESTORED),
            (None, None, True, Origin.BEGUN),
            (None, ["a"], True, Origin.BEGUN),
            (None, None, False, Origin.UPGRADED),
            (None, ["a"], False, Origin.RESTORED),
        ],
    )
    def test_the_name_tells(self, kept, beside, empty, found):
        """A store is the same if the file beside it has its name; a store without a name is new, or from before."""
        assert origin(kept, beside, empty=empty) is found

    async def test_a_kill_is_no_restore(self, daemon):
        """A process that was killed at any time finds its own store again."""
        await daemon.stage.sent()
        await daemon.kill()
        await daemon.provenance().renew()
        await daemon.kill()

        assert not (await daemon.proof()).whole
        assert not (await daemon.stage.ret()).unproven

    async def test_a_kill_while_the_name_is_renewed_is_none_either(self, daemon):
        """Between the two halves of a renewal the file has both names."""
        kept = await daemon.stage.store.read(lambda uow: uow.mark("generation"))
        GenerationFile(daemon.stage.path).write(kept, "next")
        await daemon.kill()
        assert not (await daemon.proof()).whole

    @pytest.mark.parametrize("by_hand", [False, True])
    async def test_a_backup_is_noticed(self, daemon, tmp_path, by_hand):
        """A backup that is put in place, by the verb or by hand, leaves no return of the store trusted."""
        await daemon.stage.sent()
        copy = backup(daemon.stage, tmp_path)
        await daemon.put_back(copy, by_hand=by_hand)

        assert (await daemon.proof()).whole
        assert (await daemon.stage.ret()).unproven

    async def test_a_plain_copy_is_noticed(self, daemon, tmp_path):
        """A copy of the files, made while the daemon was down, is noticed once the daemon has run again."""
        await daemon.stage.sent()
        await daemon.stage.stop()
        shutil.copy(daemon.stage.path, tmp_path / "copy.db")
        await daemon.stage.start()
        await daemon.check()
        await daemon.put_back(tmp_path / "copy.db", by_hand=True)

        assert (await daemon.proof()).whole


class TestRestored:
    async def test_nothing_is_done_until_the_comparison(self, daemon, tmp_path):
        """Days pass over a restored store: nothing is read twice in a second, sent, called missing, or given up."""
        stage = daemon.stage
        await stage.sent()
        copy = backup(stage, tmp_path)
        await stage.inspect()
        await stage.reach(State.CLOSED)
        before = sent(stage)
        await daemon.put_back(copy)
        await stage.pass_time(60 * DAY)

        ret = await stage.ret()
        assert (ret.state, ret.unproven, ret.due_at) == (State.AWAITING_INSPECTION, True, None)
        assert sent(stage) == before

    @pytest.mark.parametrize("buys", [False, True], ids=["page", "buying"])
    @pytest.mark.parametrize("steps", range(14))
    async def test_every_age_of_a_backup(self, open_with, tmp_path, buys, steps):
        """However old the copy is, the return ends as it should, and nothing was done twice."""
        stage = (await buying(open_with))[0] if buys else await open_with(policy=PAGE)
        daemon = Daemon(stage)
        await daemon.check()
        stage.clock.advance(600.0)
        stage.ship(SOCK=1)
        await stage.submit(submitted_at=stage.clock.now())
        for _ in range(steps):
            await stage.step()
            stage.clock.advance(1.0)
        copy = backup(stage, tmp_path)
        await stage.reach(State.AWAITING_INSPECTION)
        await daemon.put_back(copy)
        assert (await stage.ret()).unproven
        await daemon.adopt_open()
        await stage.reach(State.AWAITING_INSPECTION)
        await stage.inspect()
        await stage.reach(State.CLOSED)

        assert all(sent(stage)[name] <= 1 for name in ONCE), sent(stage)
        assert sent(stage)["process"] == 1
        assert once_each(stage)
        assert stage.portal.returns["77"].grades == {"1": 1}
        assert not (await daemon.proof()).whole

    async def test_a_flag_is_set_once(self, daemon, tmp_path):
        """A return that was flagged after the backup is in review afterwards, and flagged once."""
        stage = daemon.stage
        await stage.sent(submitted_at=stage.clock.now())
        copy = backup(stage, tmp_path)
        await stage.inspect("Defective")
        await stage.reach(State.IN_REVIEW)
        await daemon.put_back(copy)
        await daemon.adopt_open()
        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.IN_REVIEW
        assert stage.portal.returns["77"].flags == 1
        assert once_each(stage)

    async def test_a_return_that_loop_has_closed_meanwhile(self, daemon, tmp_path):
        """What ended after the backup ends here too, with nothing more told."""
        stage = daemon.stage
        await stage.sent(submitted_at=stage.clock.now())
        copy = backup(stage, tmp_path)
        await stage.inspect()
        await stage.reach(State.PROCESSING)
        await stage.reach(State.CLOSED)
        notes = list(stage.portal.returns["77"].notes)
        await daemon.put_back(copy)
        await daemon.adopt_open()
        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.CLOSED
        assert stage.portal.returns["77"].notes == notes
        assert sent(stage)["process"] == 1

    async def test_a_label_that_the_backup_knows_is_given_back(self, open_with, tmp_path):
        """A return that was cancelled after the backup: the comparison hears of it, and the label's money comes back once."""
        stage, source = await buying(open_with)
        daemon = Daemon(stage)
        await daemon.check()
        stage.clock.advance(600.0)
        await stage.sent(submitted_at=stage.clock.now())
        copy = backup(stage, tmp_path)
        stage.portal.returns["77"].state = PortalState.CANCELLED
        await daemon.put_back(copy)
        await daemon.adopt_open()
        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.CANCELLED
        assert (len(source.live()), sent(stage)["void"]) == (0, 1)

    async def test_a_return_of_after_the_backup_waits(self, daemon, tmp_path):
        """A return that Loop knew before the restore, and the store does not, is only read; adopt takes it over."""
        stage = daemon.stage
        copy = backup(stage, tmp_path)
        await stage.sent(submitted_at=stage.clock.now())
        stage.clock.advance(HOUR)
        await daemon.put_back(copy)
        await stage.tell(RequestIssued(return_id="77", request_id="q77"))
        before = sent(stage)
        await stage.pass_time(HOUR)
        ret = await stage.ret()
        assert (ret.unproven, ret.problem_code, sent(stage)) == (True, ProblemCode.UNPROVEN, before)

        await daemon.adopt_open()
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        assert sent(stage) == before

    async def test_new_returns_are_served(self, daemon, tmp_path):
        """A shopper who makes a return after the restore gets the label at once."""
        stage = daemon.stage
        copy = backup(stage, tmp_path)
        await daemon.put_back(copy)
        stage.clock.advance(HOUR)
        await stage.sent(submitted_at=stage.clock.now())

        assert (await daemon.proof()).whole
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    async def test_a_return_that_is_heard_of_while_adopt_runs_does_not_wait_on(self, daemon, tmp_path, monkeypatch):
        """A return that adopt found nothing done for, and that began to wait before adopt ended, is compared as well."""
        stage = daemon.stage
        copy = backup(stage, tmp_path)
        stage.ship(ORDER, **{a_line().sku: 1})
        stage.portal.submit(LoopReturn(return_id="77", lines=[a_line()], submitted_at=stage.clock.now()), None)
        stage.clock.advance(HOUR)
        await daemon.put_back(copy)
        adopt, results = Adoption.adopt, []

        async def heard_afterwards(self, *names, **how):
            results.append((await adopt(self, *names, **how)).kind)
            if len(results) == 1:
                await stage.tell(RequestIssued(return_id="77", request_id="q77"))
                await stage.step()
                assert (await stage.ret()).unproven
            return AdoptionResult(shop="acme", return_id="77", kind=results[-1])

        monkeypatch.setattr(Adoption, "adopt", heard_afterwards)
        await daemon.adopt_open()

        assert results[0] is Kind.NOTHING_YET
        assert not (await stage.ret()).unproven
        assert (await stage.reach(State.AWAITING_INSPECTION)).state is State.AWAITING_INSPECTION

    async def test_a_dry_run_proves_nothing(self, daemon, tmp_path):
        """Only a comparison that was carried out lets returns go on."""
        stage = daemon.stage
        await stage.sent(submitted_at=stage.clock.now())
        copy = backup(stage, tmp_path)
        await daemon.put_back(copy)
        await daemon.adopt_open(dry_run=True)

        assert (await daemon.proof()).whole
        assert (await stage.ret()).unproven
        with pytest.raises(OperatorError, match="mcfd adopt"):
            await stage.operator.retry("77", by="operator")

    async def test_one_return_can_be_compared_alone(self, daemon, tmp_path):
        """`mcfd adopt RETURN` lets one return go on; the others wait."""
        stage = daemon.stage
        await stage.sent(submitted_at=stage.clock.now())
        copy = backup(stage, tmp_path)
        await daemon.put_back(copy)
        await Adoption(stage.contexts).adopt("acme", "77", by="operator")

        assert not (await stage.ret()).unproven
        assert (await daemon.proof()).whole


class TestBegunAnew:
    async def test_traces_of_ours_wait_for_adopt(self, daemon, template):
        """In an empty store a return with our notes waits for adopt; nothing is asked for or told again."""
        stage = daemon.stage
        await stage.submit(a_line(), submitted_at=stage.clock.now())
        stage.ship(SOCK=1)
        await stage.step_to(State.AWAITING_INSPECTION)
        await stage.work()
        stage.clock.advance(DAY)
        await self.lose(stage, template)
        await daemon.check()
        before = sent(stage)
        await stage.tell(RequestIssued(return_id="77", request_id="q77"))
        await stage.pass_time(DAY)
        assert (await stage.ret()).unproven
        assert sent(stage) == before

        await daemon.adopt_open()
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        assert sent(stage) == before

    async def test_without_traces_a_return_is_served(self, daemon, template):
        """A first start needs nothing: an old return that bears no trace of ours is served as ever."""
        stage = daemon.stage
        stage.ship(SOCK=1)
        await self.lose(stage, template)
        stage.clock.advance(-300.0)
        await daemon.check()
        await stage.submit(submitted_at=stage.clock.now() - 10 * DAY)
        await stage.reach(State.AWAITING_INSPECTION)

        assert sent(stage)["deliver_label"] == 1

    async def lose(self, stage, template):
        """The store is gone, and another one begins."""
        await stage.stop()
        for file in stage.path.parent.glob(stage.path.name + "*"):
            file.unlink()
        shutil.copy(template, stage.path)
        await stage.start()


def test_a_proof_reads_back():
    """A mark holds the whole proof; no mark means no doubt."""
    proof = Proof(since=NOW, whole=True, why="restored")
    assert Proof.from_text(proof.to_text()) == proof
    assert Proof.from_text(Proof().to_text()) == Proof()
    assert not Proof.from_text(None).doubts(None, traces=True)


def test_a_measured_clock_tells_new_returns_sooner():
    """The portal dates returns by its own clock: once the difference is known, seconds decide instead of minutes."""
    proof = Proof(since=NOW)
    assert proof.doubts(NOW + 60, traces=True)
    assert not proof.doubts(NOW + 60, traces=True, ahead=0.0)
    assert proof.doubts(NOW + 5, traces=True, ahead=0.0)
    assert proof.doubts(NOW + 60, traces=True, ahead=-120.0)
    assert not proof.doubts(NOW - 60, traces=True, ahead=120.0)
