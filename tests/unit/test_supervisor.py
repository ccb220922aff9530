"""How services start, are watched and stop."""

import asyncio
import os
import signal
import time
from collections.abc import Hashable

import pytest
from structlog.testing import capture_logs

from adapters.host.clock import SystemClock
from daemon.engine.supervisor import Heartbeats, TaskPool, install_signals, run_every, supervise
from daemon.errors import Refused, ServiceEnded, StoreUnavailable, Unavailable

CLOCK = SystemClock()


class StepClock:
    """A clock that jumps over every wait at once, unless the event is set or its `end` is reached."""

    def __init__(self, end: float = 1e9) -> None:
        self.at = 0.0
        self.end = end
        self.waits: list[float | None] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        if seconds is None or event.is_set():
            return await event.wait()
        self.waits.append(seconds)
        self.at += seconds
        if self.at >= self.end:
            event.set()
        return event.is_set()


async def until_stopped(stop: asyncio.Event) -> None:
    """Do as a well-behaved service does."""
    await stop.wait()


async def pause(seconds: float = 0.02) -> None:
    """Let real time pass."""
    await CLOCK.wait(asyncio.Event(), seconds)


class TestSupervise:
    async def test_services_run_until_stop_and_nobody_is_late(self):
        """All services run together, each in a task of its name, and end when asked to."""
        names: list[str] = []
        stop = asyncio.Event()

        async def run(event: asyncio.Event) -> None:
            names.append(asyncio.current_task().get_name())
            if len(names) == 2:
                stop.set()
            await event.wait()

        assert await supervise({"waiter": run, "reconciler": run}, stop, clock=CLOCK, grace=1.0) == ()
        assert names == ["waiter", "reconciler"]

    async def test_a_service_that_fails_ends_all_and_is_named(self):
        """Its error is the cause; the others are cancelled and cleaned up."""
        cleaned: list[str] = []

        async def failing(stop: asyncio.Event) -> None:
            await pause()
            raise Refused("NoRole", "the role is missing")

        async def other(stop: asyncio.Event) -> None:
            try:
                await stop.wait()
            finally:
                cleaned.append("other")

        with pytest.raises(ServiceEnded, match="service waiter failed: Refused") as caught:
            await supervise({"other": other, "waiter": failing}, asyncio.Event(), clock=CLOCK, grace=1.0)
        assert isinstance(caught.value.__cause__, Refused)
        assert cleaned == ["other"]

    async def test_a_service_that_returns_ends_all(self):
        """A quiet end is an end, too."""

        async def quiet(stop: asyncio.Event) -> None:
            return

        with pytest.raises(ServiceEnded, match="service waiter ended") as caught:
            await supervise({"other": until_stopped, "waiter": quiet}, asyncio.Event(), clock=CLOCK, grace=1.0)
        assert caught.value.__cause__ is None

    async def test_a_service_cancelled_from_within_ends_all(self):
        """A stray cancellation, which a task group would overlook, is an end as any other."""

        async def stray(stop: asyncio.Event) -> None:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        async with asyncio.timeout(1):
            with pytest.raises(ServiceEnded, match="waiter was cancelled from within"):
                await supervise({"other": until_stopped, "waiter": stray}, asyncio.Event(), clock=CLOCK, grace=1.0)

    async def test_the_first_failure_is_raised_and_the_others_are_logged(self):
        """Two services that fail at once yield one error and one log line."""

        async def failing(stop: asyncio.Event) -> None:
            raise RuntimeError("both")

        with capture_logs() as lines, pytest.raises(ServiceEnded, match="service one"):
            await supervise({"one": failing, "two": failing}, asyncio.Event(), clock=CLOCK, grace=1.0)
        assert [(line["event"], line["reason"]) for line in lines] == [
            ("service.ended_too", "service two failed: RuntimeError")
        ]

    async def test_late_services_are_cancelled_after_the_grace_and_named(self):
        """One that ignores the stop gets the grace and no more; one that uses it up is not disturbed."""
        stop = asyncio.Event()
        stop.set()
        ended: list[str] = []

        async def slow(event: asyncio.Event) -> None:
            await pause(0.1)
            ended.append("slow")

        async def deaf(event: asyncio.Event) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("deaf")

        at = time.monotonic()
        with capture_logs() as lines:
            late = await supervise({"slow": slow, "deaf": deaf}, stop, clock=CLOCK, grace=0.3)
        assert 0.25 < time.monotonic() - at < 1.0
        assert late == ("deaf",)
        assert ended == ["slow", "deaf"]
        assert [(line["event"], line["service"]) for line in lines] == [
            ("service.stopped", "slow"),
            ("service.overran", "deaf"),
        ]

    async def test_stopping_takes_no_longer_than_the_services(self):
        """The grace is a bound, not a wait."""
        stop = asyncio.Event()
        stop.set()
        at = time.monotonic()
        assert await supervise({"one": until_stopped}, stop, clock=CLOCK, grace=30.0) == ()
        assert await supervise({}, stop, clock=CLOCK, grace=30.0) == ()
        assert time.monotonic() - at < 1.0

    async def test_a_failure_while_stopping_does_not_disturb_the_others(self):
        """It is logged, and the rest keep their grace."""
        stop = asyncio.Event()
        stop.set()
        ended: list[str] = []

        async def failing(event: asyncio.Event) -> None:
            raise RuntimeError("closed already")

        async def slow(event: asyncio.Event) -> None:
            await pause()
            ended.append("slow")

        with capture_logs() as lines:
            assert await supervise({"failing": failing, "slow": slow}, stop, clock=CLOCK, grace=1.0) == ()
        assert ended == ["slow"]
        assert lines[0]["event"] == "service.failed_while_stopping"

    async def test_cancelling_the_supervisor_cancels_its_services(self):
        """Whoever gives up on the supervisor leaves no task behind."""
        cleaned = asyncio.Event()

        async def run(stop: asyncio.Event) -> None:
            try:
                await stop.wait()
            finally:
                cleaned.set()

        supervisor = asyncio.create_task(supervise({"one": run}, asyncio.Event(), clock=CLOCK, grace=1.0))
        await pause()
        supervisor.cancel()
        with pytest.raises(asyncio.CancelledError):
            await supervisor
        assert cleaned.is_set()


class TestRunEvery:
    async def test_rounds_are_spaced_and_jittered(self):
        """The first round is at once, the others follow at the period give or take the jitter."""
        clock = StepClock(end=25.0)
        rounds: list[float] = []
        beats: list[float] = []
        draws = iter([0.0, 0.5, 1.0])

        async def work() -> None:
            rounds.append(clock.at)

        await run_every(
            10.0,
            work,
            name="reconciler",
            clock=clock,
            stop=asyncio.Event(),
            jitter=0.2,
            beat=lambda: beats.append(clock.at),
            draw=lambda: next(draws),
        )
        assert clock.waits == [8.0, 10.0, 12.0]
        assert rounds == [0.0, 8.0, 18.0]
        assert beats == rounds

    async def test_stopping_interrupts_the_wait(self):
        """A service that waits for hours ends at once."""
        stop = asyncio.Event()

        async def work() -> None:
            asyncio.get_running_loop().call_later(0.02, stop.set)

        async with asyncio.timeout(1):
            await run_every(3600.0, work, name="reconciler", clock=CLOCK, stop=stop)

    async def test_a_round_that_is_asked_for_comes_at_once(self):
        """Also one that is asked for while another is under way; each request is one round and no more."""
        stop, sooner = asyncio.Event(), asyncio.Event()
        rounds = 0

        async def work() -> None:
            nonlocal rounds
            rounds += 1
            if rounds == 1:
                sooner.set()
            elif rounds == 2:
                asyncio.get_running_loop().call_later(0.02, sooner.set)
            else:
                asyncio.get_running_loop().call_later(0.02, stop.set)

        async with asyncio.timeout(1):
            await run_every(3600.0, work, name="pauses", clock=CLOCK, stop=stop, sooner=sooner)
        assert rounds == 3

    async def test_an_outage_is_two_log_lines_and_every_failure_is_counted(self):
        """The same failure again is not logged again; a different one is; recovery says how many there were."""
        clock = StepClock(end=59.0)
        troubles: list[Exception | None] = [
            StoreUnavailable("disk full"),
            StoreUnavailable("disk full"),
            Unavailable("no answer"),
            None,
            None,
            StoreUnavailable("disk full"),
        ]
        failures: list[str] = []
        script = iter(troubles)

        async def work() -> None:
            if trouble := next(script):
                raise trouble

        with capture_logs() as lines:
            await run_every(
                10.0,
                work,
                name="waiter",
                clock=clock,
                stop=asyncio.Event(),
                jitter=0.0,
                on_failure=lambda name, error: failures.append(f"{name} {type(error).__name__}"),
            )
        assert [(line["event"], line.get("error"), line.get("failures")) for line in lines] == [
            ("round.failed", "StoreUnavailable", None),
            ("round.failed", "Unavailable", None),
            ("round.recovered", None, 3),
            ("round.failed", "StoreUnavailable", None),
        ]
        assert failures == ["waiter StoreUnavailable"] * 2 + ["waiter Unavailable", "waiter StoreUnavailable"]

    async def test_a_bug_is_logged_every_time_and_ends_nothing(self):
        """Unexpected exceptions carry their traceback into the log, and the next round comes."""
        failures: list[Exception] = []

        async def work() -> None:
            raise KeyError("bug")

        with capture_logs() as lines:
            await run_every(
                10.0,
                work,
                name="waiter",
                clock=StepClock(end=29.0),
                stop=asyncio.Event(),
                jitter=0.0,
                on_failure=lambda _name, error: failures.append(error),
            )
        assert [(line["event"], line["exc_info"]) for line in lines] == [("round.broke", True)] * 3
        assert len(failures) == 3

    async def test_a_service_that_was_stopped_before_does_nothing(self):
        """With `stop` set there is not even a first round."""
        stop = asyncio.Event()
        stop.set()

        async def work() -> None:
            raise AssertionError("worked")

        await run_every(1.0, work, name="waiter", clock=CLOCK, stop=stop)


class TestCrew:
    def crew(self, limit: int = 10, failures: list[tuple[Hashable, BaseException]] | None = None) -> TaskPool:
        report = [] if failures is None else failures
        return TaskPool("label", limit, clock=CLOCK, on_failure=lambda key, error: report.append((key, error)))

    async def test_one_task_per_key_and_no_more_than_the_limit(self):
        """A key in hand and a full crew are refused; an ended task makes room."""
        go = asyncio.Event()
        names: list[str] = []

        async def work() -> None:
            names.append(asyncio.current_task().get_name())
            await go.wait()

        async with self.crew(limit=2) as crew:
            assert crew.start("r1", work)
            assert not crew.start("r1", work)
            assert crew.start("r2", work)
            assert crew.room == 0
            assert not crew.start("r3", work)
            assert crew.busy("r1")
            assert not crew.busy("r3")
            go.set()
            await pause()
            assert not crew.busy("r1")
            assert crew.room == 2
            assert crew.start("r1", work)
            await pause()
        assert names == ["label r1", "label r2", "label r1"]

    async def test_no_failure_is_lost(self):
        """Exceptions and stray cancellations reach the callback with their key, successes do not."""
        failures: list[tuple[Hashable, BaseException]] = []
        bug = RuntimeError("bug")

        async def broken() -> None:
            raise bug

        async def stray() -> None:
            raise asyncio.CancelledError

        async def fine() -> None:
            return

        async with self.crew(failures=failures) as crew:
            for key, work in (("r1", broken), ("r2", stray), ("r3", fine)):
                crew.start(key, work)
            await pause()
        assert failures[0] == ("r1", bug)
        assert failures[1][0] == "r2"
        assert isinstance(failures[1][1], asyncio.CancelledError)
        assert len(failures) == 2

    async def test_draining_waits_then_cancels_then_names_the_late(self):
        """Work that ends within the grace ends; the rest is cancelled and named; nothing new is started."""
        failures: list[tuple[Hashable, BaseException]] = []
        ended: list[str] = []

        async def quick() -> None:
            await pause()
            ended.append("quick")

        async def endless() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("endless")

        crew = self.crew(failures=failures)
        crew.start("r1", quick)
        crew.start("r2", endless)
        with capture_logs() as lines:
            assert await crew.drain(0.1) == ("r2",)
        assert ended == ["quick", "endless"]
        assert [(line["event"], line["key"]) for line in lines] == [("task.overran", "r2")]
        assert failures == []
        assert not crew.start("r3", quick)
        assert not crew.busy("r2")
        assert await crew.drain(0.1) == ()

    async def test_a_task_cancelled_before_its_first_step_gives_its_place_back(self):
        """Leaving the block at once leaves neither a task nor a key behind."""

        async def work() -> None:
            await asyncio.Event().wait()

        async with self.crew() as crew:
            crew.start("r1", work)
        assert not crew.busy("r1")
        assert len(asyncio.all_tasks()) == 1


class TestHeartbeats:
    def test_a_missed_promise_is_late_until_the_next_beat(self):
        """Each service is late after its own time only."""
        clock = StepClock()
        beats = Heartbeats(clock)
        beats.promise("waiter", 10.0)
        beats.promise("reconciler", 60.0)
        clock.at = 10.0
        assert beats.late() == []
        clock.at = 10.5
        assert beats.late() == ["waiter"]
        beats.beat("waiter")
        assert beats.late() == []
        clock.at = 100.0
        assert beats.late() == ["reconciler", "waiter"]

    def test_a_beat_without_a_promise_is_a_mistake(self):
        """A misspelt name cannot keep the watchdog quiet."""
        with pytest.raises(KeyError):
            Heartbeats(StepClock()).beat("waitr")


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_the_first_signal_stops_and_the_second_leaves(self, number: signal.Signals):
        """One signal sets `stop`, another one leaves at once with status 1."""
        stop, left = asyncio.Event(), []
        remove = install_signals(asyncio.get_running_loop(), stop, lambda: None, leave=left.append)
        try:
            os.kill(os.getpid(), number)
            async with asyncio.timeout(1):
                await stop.wait()
            assert left == []
            os.kill(os.getpid(), signal.SIGTERM)
            await pause()
            assert left == [1]
        finally:
            remove()

    async def test_a_stop_for_another_reason_does_not_make_the_first_signal_the_second(self):
        """A daemon that is stopping by itself is not killed by systemd's polite signal."""
        stop, left = asyncio.Event(), []
        stop.set()
        remove = install_signals(asyncio.get_running_loop(), stop, lambda: None, leave=left.append)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await pause()
            assert left == []
        finally:
            remove()

    async def test_sighup_reloads(self):
        """SIGHUP calls the reload and stops nothing."""
        stop, reloaded = asyncio.Event(), asyncio.Event()
        remove = install_signals(asyncio.get_running_loop(), stop, reloaded.set)
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(1):
                await reloaded.wait()
            assert not stop.is_set()
        finally:
            remove()
