"""Rate limits in virtual time: never more than allowed, never less than possible, nobody starves."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace

import asyncio_throttle.throttler
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from adapters.amazon_mcf.limits import AmazonLimits
from adapters.host.clock import SystemClock
from adapters.loop_returns.limits import LoopLimits
from adapters.vendor_calls.lanes import LaneGate
from adapters.vendor_calls.token_bucket import TokenBucket
from daemon.errors import RateLimited
from daemon.ports.vendors import ON_BEHALF_OF, URGENCY, Lane
from tests.support.virtual_time import FakeClock, run_virtual, settle

SHOPPER, OPENING, BACKGROUND = Lane
lanes = st.sampled_from(list(Lane))
quick = settings(deadline=None, max_examples=40)


class Turns:
    """Callers of one limiter, and who got a turn when."""

    def __init__(self, clock, limiter):
        self.clock = clock
        self.limiter = limiter
        self.log: list[tuple[float, object]] = []
        self.tasks: dict[object, asyncio.Task] = {}

    def ask(self, name, lane=SHOPPER):
        self.tasks[name] = asyncio.create_task(self._turn(name, lane))
        return self.tasks[name]

    async def _turn(self, name, lane):
        await self.limiter.acquire(lane)
        self.log.append((self.clock.monotonic(), name))

    async def done(self):
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        return self.log

    @property
    def times(self):
        return [when for when, _ in self.log]

    @property
    def names(self):
        return [name for _, name in self.log]


class Permits:
    """A limit of so many calls."""

    def __init__(self):
        self.left = 0
        self.returned: list[Lane] = []
        self.on_take = lambda: None

    def delay(self, lane):
        return 0.0 if self.left else 1000.0

    async def take(self, lane):
        self.left -= 1
        asyncio.get_running_loop().call_soon(self.on_take)
        self.on_take = lambda: None

    def give_back(self, lane):
        self.left += 1
        self.returned.append(lane)

    def pause_left(self):
        return 0.0


async def sleep(clock, seconds):
    """Let time pass on the test's clock."""
    await clock.wait(asyncio.Event(), seconds)


def assert_within(times, rate, burst):
    """No window, from any turn to any later one, holds more than burst + rate * t."""
    tokens, last = burst, 0.0  # a nominal bucket that never runs dry is the same as comparing all pairs
    for when in times:
        tokens = min(burst, tokens + (when - last) * rate) - 1
        last = when
        assert tokens >= -1e-4, f"too many turns at {when}"


def headers(**values):
    """Return headers as a reply has them, found by any case."""
    return CIMultiDict({name.replace("_", "-"): value for name, value in values.items()})


# --- the bucket ---------------------------------------------------------------------------------------------------


def test_a_new_bucket_is_empty_and_fills_at_its_rate():
    """The first turns come one by one, each after 1/rate seconds."""

    async def main(clock):
        turns = Turns(clock, TokenBucket(clock, rate=2, burst=30))
        for name in range(4):
            turns.ask(name)
        await turns.done()
        assert turns.times == pytest.approx([0.5, 1.0, 1.5, 2.0])

    run_virtual(main)


def test_an_idle_bucket_fills_up_to_its_burst_and_no_further():
    """After a long pause the burst goes at once, the rest at the rate."""

    async def main(clock):
        bucket = TokenBucket(clock, rate=2, burst=3)
        await sleep(clock, 1000)
        assert bucket.level() == 3
        turns = Turns(clock, bucket)
        for name in range(5):
            turns.ask(name)
        await turns.done()
        assert turns.times == pytest.approx([1000, 1000, 1000, 1000.5, 1001])

    run_virtual(main)


arrivals = st.lists(st.tuples(st.floats(0, 20), lanes), min_size=1, max_size=60)


@quick
@given(arrivals, st.floats(0.2, 20), st.integers(1, 12), st.lists(st.floats(0.2, 20), max_size=5))
def test_no_window_holds_more_than_the_bucket_allows(calls, rate, burst, changes):
    """Whenever callers come and however the rate changes, burst + rate * t is never exceeded, and all are served."""

    async def main(clock):
        bucket = TokenBucket(clock, rate, burst)
        turns = Turns(clock, bucket)
        fastest = rate
        for number, (delay, lane) in enumerate(calls):
            turns.ask(number, lane)
            if number % 10 == 9 and changes:
                fastest = max(fastest, *changes)
                bucket.set_rate(changes[number % len(changes)])
            if number % 3:
                await sleep(clock, delay)
        await turns.done()
        assert len(turns.log) == len(calls)
        assert_within(turns.times, fastest, burst)
        assert all(n <= fastest * when + 1e-4 for n, when in enumerate(turns.times, 1))

    run_virtual(main)


@quick
@given(st.lists(st.tuples(lanes, st.floats(0, 1)), min_size=2, max_size=50))
def test_within_a_lane_the_first_comer_is_served_first(calls):
    """Callers of one lane never overtake each other."""

    async def main(clock):
        turns = Turns(clock, TokenBucket(clock, rate=3, burst=4))
        for number, (lane, delay) in enumerate(calls):
            turns.ask((lane, number), lane)
            await sleep(clock, delay)
        await turns.done()
        for lane in Lane:
            served = [number for of, number in turns.names if of is lane]
            assert served == sorted(served)

    run_virtual(main)


def test_shoppers_go_first_but_every_tenth_turn_is_the_backgrounds():
    """While both lanes wait, the background gets exactly one turn in ten, and all of them once no shopper waits."""

    async def main(clock):
        turns = Turns(clock, TokenBucket(clock, rate=10, burst=1))
        for number in range(40):
            turns.ask((BACKGROUND, number), BACKGROUND)
        for number in range(90):
            turns.ask((SHOPPER, number), SHOPPER)
        await turns.done()
        order = [lane for lane, _ in turns.names]
        assert order[:100] == ([SHOPPER] * 9 + [BACKGROUND]) * 10
        assert order[100:] == [BACKGROUND] * 30

    run_virtual(main)


def test_a_shopper_overtakes_a_background_caller_who_already_waits_for_the_token():
    """Who waits first for the timer does not matter; who is first by the rules gets the token."""

    async def main(clock):
        turns = Turns(clock, TokenBucket(clock, rate=1, burst=1))
        turns.ask("background", BACKGROUND)
        await sleep(clock, 0.9)
        turns.ask("shopper", SHOPPER)
        assert await turns.done() == [(pytest.approx(1.0), "shopper"), (pytest.approx(2.0), "background")]

    run_virtual(main)


@quick
@given(st.lists(lanes, min_size=3, max_size=30), st.data())
def test_cancelled_callers_neither_lose_a_token_nor_block_the_queue(callers, data):
    """Whoever gives up, and when (also at the very instant of a token), the others get every token there is."""

    async def main(clock):
        turns = Turns(clock, TokenBucket(clock, rate=1, burst=5))
        for number, lane in enumerate(callers):
            turns.ask(number, lane)
        instants = st.tuples(st.integers(0, len(callers) - 1), st.integers(0, 2 * len(callers)))
        for number, half in sorted(data.draw(st.lists(instants, max_size=len(callers))), key=lambda pair: pair[1]):
            asyncio.get_running_loop().call_at(half / 2, turns.tasks[number].cancel)
        await turns.done()
        served = [name for name, task in turns.tasks.items() if not task.cancelled()]
        assert sorted(turns.names) == served
        assert all(later - earlier <= 1.0001 for earlier, later in pairwise([0.0, *turns.times]))
        assert_within(turns.times, 1, 5)

    run_virtual(main)


def test_a_token_given_to_a_caller_who_is_cancelled_at_that_instant_goes_to_the_next():
    """Granted but not yet running, then cancelled: the permit is handed back, and the next caller is woken for it."""

    async def main(clock):
        permits = Permits()
        gate = LaneGate(clock, permits)
        leader = asyncio.create_task(gate.enter(BACKGROUND))
        follower = asyncio.create_task(gate.enter(SHOPPER))
        await settle()
        permits.left, permits.on_take = 1, follower.cancel
        gate.look_again()
        await settle()
        assert follower.cancelled()
        assert permits.returned == [SHOPPER]
        assert leader.done()
        assert permits.left == 0

    run_virtual(main)


def test_a_token_is_passed_on_in_the_same_instant_whenever_the_cancel_comes():
    """Cancelled before, during or after the token's arrival: whoever is left gets it without waiting for another."""

    async def main(clock, callbacks_later):
        turns = Turns(clock, TokenBucket(clock, rate=0.1, burst=1))
        turns.ask("background", BACKGROUND)
        shopper = turns.ask("shopper", SHOPPER)
        await sleep(clock, 10)
        for _ in range(callbacks_later):
            await settle(1)
        shopper.cancel()
        return await turns.done()

    outcomes = [run_virtual(lambda clock, later=later: main(clock, later)) for later in range(10)]
    passed_on = [(pytest.approx(10.0), "background")]
    served = [(pytest.approx(10.0), "shopper"), (pytest.approx(20.0), "background")]
    assert all(log in (passed_on, served) for log in outcomes)
    assert outcomes[0] == passed_on
    assert outcomes[-1] == served


def test_a_new_rate_reaches_those_who_wait():
    """A caller asleep for the old rate is served by the new one."""

    async def main(clock):
        bucket = TokenBucket(clock, rate=0.1, burst=5)
        turns = Turns(clock, bucket)
        turns.ask("first")
        turns.ask("second")
        await sleep(clock, 1)
        bucket.set_rate(9)
        await turns.done()
        assert turns.times == pytest.approx([1.1, 1.1 + 1 / 9])
        bucket.set_rate(0.5)
        turns.ask("third")
        await turns.done()
        assert turns.times[-1] - turns.times[-2] == pytest.approx(2.0)

    run_virtual(main)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, 0)])
def test_a_limit_that_cannot_be_one_is_an_error(rate, burst):
    """A bucket that could never let anybody through is refused when it is made."""
    with pytest.raises(ValueError, match="positive rate"):
        TokenBucket(FakeClock(), rate, burst)


def test_the_wall_clock_may_jump():
    """Hours forward or back change nothing about who may go when."""

    async def main(clock):
        turns = Turns(clock, TokenBucket(clock, rate=1, burst=2))
        for number, jump in enumerate([3600, -7200, 86400 * 365]):
            turns.ask(number)
            clock.jump(jump)
            await sleep(clock, 0.25)
        await turns.done()
        assert turns.times == pytest.approx([1, 2, 3])

    run_virtual(main)


def test_thousands_of_waiters_cost_two_wake_ups_per_turn():
    """Each turn is paid with at most one timer more than there are turns, however many callers wait."""

    async def main(clock):
        turns = Turns(clock, TokenBucket(clock, rate=100, burst=10))
        for number in range(5000):
            turns.ask(number, BACKGROUND)
        await sleep(clock, 1.005)
        assert len(turns.log) == 100
        assert clock.waits <= 102
        for task in turns.tasks.values():
            task.cancel()
        await turns.done()

    run_virtual(main)


# --- what a 429 does ----------------------------------------------------------------------------------------------


def test_a_429_drains_the_bucket_and_holds_everybody_back():
    """Nobody goes during the pause, and after it the bucket begins at nothing, at half the pace."""

    async def main(clock):
        bucket = TokenBucket(clock, rate=2, burst=30, jitter=lambda: 1.0)
        await sleep(clock, 100)
        assert bucket.pause(5.0) == 5.0
        assert bucket.level() == 0
        turns = Turns(clock, bucket)
        turns.ask("shopper", SHOPPER)
        turns.ask("background", BACKGROUND)
        await turns.done()
        assert turns.times[0] == pytest.approx(106.0)
        assert turns.times[1] < 107.0

    run_virtual(main)


def test_repeated_429s_double_the_pause_up_to_a_cap():
    """Each 429 after a pause makes the next one twice as long; those of calls under way count once."""

    async def main(clock):
        bucket = TokenBucket(clock, rate=2, burst=30, jitter=lambda: 1.0)
        pauses = []
        for _ in range(6):
            pauses.append(bucket.pause())
            assert bucket.pause() == pytest.approx(pauses[-1])
            await sleep(clock, pauses[-1])
        assert pauses == pytest.approx([2, 4, 8, 16, 16, 16])

    run_virtual(main)


@given(st.floats(0, 1))
def test_the_pause_is_jittered_and_never_shorter_than_one_refill(jitter):
    """The first pause lies between one and two seconds, or refills for slower operations."""
    assert 1 <= TokenBucket(FakeClock(), 2, 30, jitter=lambda: jitter).pause() <= 2
    assert 10 <= TokenBucket(FakeClock(), 0.1, 15, jitter=lambda: jitter).pause() <= 20


def test_after_a_storm_of_429s_the_full_rate_is_back_within_a_minute():
    """The worst pause and the slowest pace are forgiven 60 s after the last 429."""

    async def main(clock):
        bucket = TokenBucket(clock, rate=2, burst=30, jitter=lambda: 1.0)
        for _ in range(10):
            await sleep(clock, bucket.pause())
        storm_ended = clock.monotonic()
        turns = Turns(clock, bucket)
        for number in range(200):
            turns.ask(number)
        await turns.done()
        late = [when for when in turns.times if when > storm_ended + 44]
        assert [b - a for a, b in pairwise(late)] == pytest.approx([0.5] * (len(late) - 1))
        assert len(late) > 100

    run_virtual(main)


def test_an_impatient_cancel_during_a_pause_lets_nobody_through():
    """A token that comes back while the bucket is paused waits for the end of the pause."""

    async def main(clock):
        bucket = TokenBucket(clock, rate=1, burst=3, jitter=lambda: 1.0)
        bucket.pause(10)
        bucket.give_back(SHOPPER)
        turns = Turns(clock, bucket)
        turns.ask("one")
        await turns.done()
        assert turns.times == pytest.approx([10.0])

    run_virtual(main)


# --- Amazon's limits ----------------------------------------------------------------------------------------------


class StrictVendor:
    """Counts arrivals with the nominal bucket and forgives nothing."""

    def __init__(self, rate, burst, *, tokens):
        self.rate, self.burst, self.tokens, self.last, self.refused = rate, burst, tokens, 0.0, 0

    def arrive(self, when):
        self.tokens = min(self.burst, self.tokens + (when - self.last) * self.rate)
        self.last = when
        if self.tokens < 1 - 1e-9:
            self.refused += 1
        else:
            self.tokens -= 1


@settings(deadline=None, max_examples=8)
@given(
    st.sampled_from([("getFulfillmentOrder", 2, 30), ("getRates", 80, 100)]),
    st.sampled_from(["full", "empty"]),
    st.floats(0, 60),
    st.integers(0, 2**32),
)
def test_a_strict_vendor_never_refuses_and_98_percent_of_its_rate_is_used(limit, vendor_starts, idle, seed):
    """With calls that arrive up to half a second closer together than they left, there is no 429 and little waste."""
    operation, rate, burst = limit
    count = rate * 60
    randomness = random.Random(seed)

    async def main(clock):
        limits = AmazonLimits(clock, {})
        await sleep(clock, idle)
        started = clock.monotonic()
        departures = []
        for _ in range(count):
            await limits.acquire(operation, SHOPPER)
            departures.append(clock.monotonic())
        vendor = StrictVendor(rate, burst, tokens=burst if vendor_starts == "full" else 0)
        for arrival in sorted(when + 0.05 + randomness.choice([0, 0.25, 0.5]) for when in departures):
            vendor.arrive(arrival)
        assert vendor.refused == 0
        assert count >= 0.98 * rate * (departures[-1] - started)

    run_virtual(main)


def test_without_the_margin_the_same_jitter_would_break_the_limit():
    """The strict vendor of these tests does notice a bucket that is as large as its own."""

    async def main(clock):
        bucket = TokenBucket(clock, 80, 100)
        await sleep(clock, 10)
        vendor = StrictVendor(80, 100, tokens=100)
        departures = []
        for number in range(300):
            await bucket.acquire(SHOPPER)
            departures.append(clock.monotonic() + (0.5 if number < 150 else 0.0))
        for arrival in sorted(departures):
            vendor.arrive(arrival)
        assert vendor.refused > 0

    run_virtual(main)


def test_each_operation_has_its_own_bucket_which_fills_from_the_start():
    """Waiting for one operation costs another nothing, and the published limits are known by name."""

    async def main(clock):
        limits = AmazonLimits(clock, {"getFulfillmentOrder": (5.0, 50.0)})
        await sleep(clock, 100)
        levels = limits.levels()
        assert levels["getFulfillmentOrder"] == 47.5
        assert levels["createFulfillmentReturn"] == 29.0
        assert levels["purchaseShipment"] == 60.0
        for _ in range(29):
            await limits.acquire("createFulfillmentReturn", SHOPPER)
        assert clock.monotonic() == 100
        assert limits.levels()["getFulfillmentOrder"] == 47.5

    run_virtual(main)


def test_the_rate_follows_the_header_down_and_up():
    """Amazon's own word about the rate is taken at once, for that operation only."""

    async def main(clock):
        limits = AmazonLimits(clock, {})
        await sleep(clock, 100)
        for _ in range(29):
            await limits.acquire("getFulfillmentOrder", SHOPPER)
        for rate in (0.5, 10.0):
            limits.observe("getFulfillmentOrder", headers(X_Amzn_RateLimit_Limit=str(rate)))
            before = clock.monotonic()
            for _ in range(10):
                await limits.acquire("getFulfillmentOrder", SHOPPER)
            assert clock.monotonic() - before == pytest.approx(10 / rate, rel=0.01)
        assert limits.levels()["createFulfillmentReturn"] == 29.0

    run_virtual(main)


def test_a_rate_that_an_operator_wrote_down_is_not_raised():
    """Whoever leaves room for another program of the same application keeps it, whatever Amazon would allow."""

    async def main(clock):
        limits = AmazonLimits(clock, {"getFulfillmentOrder": (0.5, 10.0)})
        await sleep(clock, 100)
        limits.observe("getFulfillmentOrder", headers(X_Amzn_RateLimit_Limit="2.0"))
        began = clock.monotonic()
        for _ in range(50):
            await limits.acquire("getFulfillmentOrder", SHOPPER)
        assert clock.monotonic() - began > 40 / 0.5 * 0.95
        limits.observe("getFulfillmentOrder", headers(X_Amzn_RateLimit_Limit="0.1"))  # lower is heeded
        began = clock.monotonic()
        await limits.acquire("getFulfillmentOrder", SHOPPER)
        assert clock.monotonic() - began > 5

    run_virtual(main)


@pytest.mark.parametrize("value", ["", "0", "-2", "nan", "inf", "1e9", "0.0000001", "two", "2/s"])
def test_a_rate_that_cannot_be_one_is_ignored(value):
    """Nonsense in the header changes nothing."""

    async def main(clock):
        limits = AmazonLimits(clock, {})
        limits.observe("getFulfillmentOrder", headers(x_amzn_RateLimit_Limit=value))
        limits.observe("getFulfillmentOrder", headers())
        await limits.acquire("getFulfillmentOrder", SHOPPER)
        assert clock.monotonic() == pytest.approx(0.5, rel=0.01)

    run_virtual(main)


def test_a_429_holds_back_its_operation():
    """All callers of the operation wait, the others do not."""

    async def main(clock):
        limits = AmazonLimits(clock, {}, jitter=lambda: 0.0)
        await sleep(clock, 100)
        limits.throttled("getFulfillmentOrder", None)
        limits.throttled("getRates", 30.0)
        await limits.acquire("listReturnReasonCodes", BACKGROUND)
        assert clock.monotonic() == 100
        await limits.acquire("getFulfillmentOrder", SHOPPER)
        assert clock.monotonic() == pytest.approx(102, rel=1e-3)
        await limits.acquire("getRates", SHOPPER)
        assert clock.monotonic() == pytest.approx(130, rel=1e-3)

    run_virtual(main)


def test_a_vendor_ten_times_slower_than_it_says_is_not_hammered():
    """Without any header, 429s alone bring the calls near to what the vendor really allows."""

    async def main(clock):
        limits = AmazonLimits(clock, {}, jitter=lambda: 0.5)
        vendor = StrictVendor(0.2, 3, tokens=3)
        outcomes = Counter()
        while clock.monotonic() < 1800:
            await limits.acquire("getFulfillmentOrder", SHOPPER)
            refused = vendor.refused
            vendor.arrive(clock.monotonic())
            outcomes["refused" if vendor.refused > refused else "ok"] += 1
            if vendor.refused > refused:
                limits.throttled("getFulfillmentOrder", None)
        assert outcomes["ok"] >= 0.9 * 0.2 * 1800
        assert outcomes["refused"] < outcomes["ok"]

    run_virtual(main)


# --- Loop's limit -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def throttler_on(clock: FakeClock) -> Iterator[None]:
    """Let asyncio-throttle, which reads the machine's clock itself, read this one."""
    real = asyncio_throttle.throttler.time
    asyncio_throttle.throttler.time = SimpleNamespace(monotonic=clock.monotonic)
    try:
        yield
    finally:
        asyncio_throttle.throttler.time = real


def run_loop_limits(main, *, answered=True, **options):
    """Run `main(clock, limits)` in virtual time, after Loop's first answer or before it."""

    async def wrapped(clock):
        with throttler_on(clock):
            limits = LoopLimits(clock, **options)
            if answered:
                limits.observe(headers())
            await main(clock, limits)

    run_virtual(wrapped)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(lanes, st.floats(0, 10)), min_size=30, max_size=80))
def test_no_minute_holds_more_calls_than_loop_allows(calls):
    """Any 60 s, wherever they begin, hold at most the limit, and everybody is served in order."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number, (lane, delay) in enumerate(calls):
            turns.ask((lane, number), lane)
            await sleep(clock, delay)
        await turns.done()
        assert len(turns.log) == len(calls)
        assert all(b - a > 60 for a, b in zip(turns.times, turns.times[10:], strict=False))
        for lane in Lane:
            served = [number for of, number in turns.names if of is lane]
            assert served == sorted(served)

    run_loop_limits(main, per_minute=10)


def test_loops_limit_is_used_to_98_percent_without_polling():
    """Under saturation 300 calls go in each minute and hardly any wake-up is wasted."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(1500):
            turns.ask(number, BACKGROUND)
        await turns.done()
        assert turns.times[269] == 0
        assert min(Counter(at // LoopLimits.PERIOD for at in turns.times).values()) >= 0.98 * 300
        assert clock.waits < 1500

    run_loop_limits(main)


def test_loops_lanes_share_as_the_buckets_do():
    """A shopper goes before a hundred waiting notes, and a note gets every tenth turn."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(10):
            turns.ask(("first", number))
            await sleep(clock, 1)
        for number in range(5):
            turns.ask((BACKGROUND, number), BACKGROUND)
        for number in range(15):
            turns.ask((SHOPPER, number), SHOPPER)
        await turns.done()
        order = [lane for lane, _ in turns.names[10:]]
        assert order[:20] == [SHOPPER] * 9 + [BACKGROUND] + [SHOPPER] * 6 + [BACKGROUND] * 4

    run_loop_limits(main, per_minute=10)


def test_a_crowd_that_is_read_leaves_room_for_labels():
    """Of three hundred calls the reading of new label requests takes so many that labels can be delivered at once."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(400):
            turns.ask((OPENING, number), OPENING)
        await settle()
        assert len(turns.log) == 120
        turns.ask("note", BACKGROUND)
        for number in range(180):
            turns.ask((SHOPPER, number), SHOPPER)
        await settle()
        assert len(turns.log) == 300
        assert "note" not in turns.names
        await turns.done()
        assert turns.times[300:420] == pytest.approx([60.5] * 120, abs=0.02)

    run_loop_limits(main)


def test_nobody_else_s_calls_are_kept_waiting_for_the_readers():
    """While no label request is heard of, notes take nine tenths of the minute at once, and spread the last tenth."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(300):
            turns.ask((BACKGROUND, number), BACKGROUND)
        await settle()
        assert len(turns.log) == 270
        await sleep(clock, 60.0)
        assert len(turns.log) >= 298

    run_loop_limits(main)


@pytest.mark.parametrize("after", [1, 30, 59, 61, 95, 125])
def test_a_label_that_comes_amid_a_backlog_of_notes_finds_a_turn(after):
    """Whenever in the minute a shopper comes, none of the five calls that make a label waits for the next minute."""
    waits = []

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(1500):
            turns.ask((BACKGROUND, number), BACKGROUND)
        await sleep(clock, after)
        for lane in (OPENING, OPENING, SHOPPER, SHOPPER, SHOPPER):
            asked = clock.monotonic()
            await limits.acquire(lane)
            waits.append(clock.monotonic() - asked)
            await sleep(clock, 0.5)

    run_loop_limits(main)
    assert max(waits) <= 3.0


def test_calls_under_way_are_not_taken_for_calls_that_others_left_us():
    """Twenty go at once after a start; each answer tells of the same fifty that are left, whatever went meanwhile."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(100):
            turns.ask(number)
        await settle()
        assert len(turns.log) == 20
        for sent in range(1, 21):
            limits.observe(headers(x_ratelimit_remaining=str(50 - sent)), sent)
            await settle()
        assert len(turns.log) == 50

    run_loop_limits(main, answered=False)


def test_a_machine_that_slept_keeps_the_order():
    """Where the daemon's clock is ahead of asyncio-throttle's by a night's sleep, a full minute still makes all wait."""

    async def main(clock, limits):
        asyncio_throttle.throttler.time = SimpleNamespace(monotonic=lambda: clock.monotonic() - 30_000.0)
        turns = Turns(clock, limits)
        for number in range(10):
            turns.ask(number)
        await settle()
        assert len(turns.log) == 10
        for number in range(5):
            turns.ask(number, BACKGROUND)
        turns.ask("label")
        await sleep(clock, 61.0)
        assert turns.names[11] == "label"  # after nine of a lane a note goes
        assert turns.times[10:] == pytest.approx([60.5] * 6, abs=0.02)

    run_loop_limits(main, per_minute=10)


def test_whoever_may_go_earlier_than_the_leader_thought_does():
    """A reader waits for its share of the minute; a label that comes then waits for no longer than the pause."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(121):
            turns.ask((OPENING, number), OPENING)
        await settle()
        limits.throttled(2.0)
        turns.ask("label", SHOPPER)
        await sleep(clock, 2.0)
        await settle()
        assert turns.names[-1] == "label"

    run_loop_limits(main)


def test_a_caller_who_leaves_keeps_nobody_waiting():
    """A note waits behind a reader who waits for its share; when that one gives up, the note goes."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(120):
            turns.ask((OPENING, number), OPENING)
        await settle()
        turns.ask("note", BACKGROUND)
        reader = turns.ask("reader", OPENING)
        await settle()
        reader.cancel()
        await settle()
        assert turns.names[-1] == "note"

    run_loop_limits(main)


@pytest.mark.parametrize("answer", [True, False], ids=["an answer", "ten seconds"])
def test_after_a_start_a_few_calls_ask_how_many_are_left(answer):
    """What the process before has used up is not known: twenty calls go until an answer, or ten seconds, are there."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(50):
            turns.ask(number)
        await settle()
        assert len(turns.log) == 20
        if answer:
            limits.observe(headers(x_ratelimit_remaining="5"))
            await settle()
            assert len(turns.log) == 25
        else:
            await turns.done()
            assert turns.times[20:] == pytest.approx([10.0] * 30)

    run_loop_limits(main, answered=False)


def test_calls_of_others_with_the_same_key_are_left_room():
    """When Loop counts fewer remaining than we do, the difference is not used by us."""

    async def main(clock, limits):
        await limits.acquire(SHOPPER)
        assert limits.level() == 99
        limits.observe(headers(X_RateLimit_Remaining="39"))
        assert limits.level() == 39
        limits.observe(headers(x_ratelimit_remaining="99"))
        assert limits.level() == 99

    run_loop_limits(main, per_minute=100)


def test_nothing_remaining_holds_back_until_one_call_asks_again():
    """At zero nobody goes for 10 s; then one call goes, and its answer decides about the rest."""

    async def main(clock, limits):
        await limits.acquire(SHOPPER)
        limits.observe(headers(x_ratelimit_remaining="0"))
        turns = Turns(clock, limits)
        for number in range(5):
            turns.ask(number)
        await sleep(clock, 9.9)
        assert turns.log == []
        await sleep(clock, 5)
        assert turns.times == pytest.approx([10.0])
        limits.observe(headers(x_ratelimit_remaining="90"))
        await turns.done()
        assert turns.times[1:] == pytest.approx([14.9] * 4)

    run_loop_limits(main, per_minute=100)


@pytest.mark.parametrize("value", ["", "-1", "many", "1.5", "٣", "9" * 5000])
def test_a_remaining_count_that_cannot_be_one_is_ignored(value):
    """Nonsense in the header changes nothing."""

    async def main(clock, limits):
        limits.observe(headers(x_ratelimit_remaining=value))
        limits.observe(headers())
        assert limits.level() == 100

    run_loop_limits(main, per_minute=100)


def test_a_429_of_loop_holds_everybody_back():
    """Retry-After is obeyed when there is one; without it the pause doubles with each 429."""

    async def main(clock, limits):
        assert limits.throttled(7.0) == 7.0
        turns = Turns(clock, limits)
        turns.ask("note", BACKGROUND)
        turns.ask("label", SHOPPER)
        await turns.done()
        assert turns.times == pytest.approx([7.0, 7.0])
        assert limits.throttled(None) == pytest.approx(1.0)

    run_loop_limits(main, jitter=lambda: 1.0)


def test_a_cancelled_call_to_loop_costs_nothing():
    """Callers who give up, waiting or just granted, leave the full minute to the others."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(20):
            turns.ask(number)
        await sleep(clock, 1)
        for number in range(10, 15):
            turns.tasks[number].cancel()
        await turns.done()
        assert turns.names == [*range(10), *range(15, 20)]
        assert turns.times[-1] == pytest.approx(60.5, abs=0.02)

        limits.give_back(SHOPPER)
        assert limits.level() == 6

    run_loop_limits(main, per_minute=10)


async def test_loops_limit_and_the_machines_clock_agree():
    """With the real clock and the library as it is, the call beyond the limit waits for the window to move."""

    class Short(LoopLimits):
        PERIOD = 0.2

    clock = SystemClock()
    limits = Short(clock, per_minute=3)
    started = clock.monotonic()
    for _ in range(4):
        await limits.acquire(SHOPPER)
    assert 0.2 <= clock.monotonic() - started < 2


# --- long pauses, and shops that share a limit ---------------------------------------------------------------------


def test_a_long_pause_is_not_waited_out_in_the_queue():
    """Whoever waits, leader or not, and whoever comes, is told how long it will be; afterwards all is as before."""

    async def main(clock, limits):
        turns = Turns(clock, limits)
        for number in range(12):
            turns.ask(number, BACKGROUND)
        await settle()
        limits.throttled(3600.0)
        await settle()
        errors = [turns.tasks[number].exception() for number in (10, 11)]
        assert [round(error.retry_after) for error in errors] == [3600, 3600]
        with pytest.raises(RateLimited):
            await limits.acquire(SHOPPER)
        await sleep(clock, 3575.0)
        await limits.acquire(SHOPPER)
        assert clock.monotonic() == 3600.0

    run_loop_limits(main, per_minute=10)


def test_a_short_pause_is_waited_out():
    """Half a minute is not worth planning with."""

    async def main(clock, limits):
        limits.throttled(30.0)
        await limits.acquire(SHOPPER)
        assert clock.monotonic() == 30.0

    run_loop_limits(main)


def test_a_long_pause_of_one_amazon_operation_is_no_others():
    """And the pauses that run are told by operation."""

    async def main(clock):
        limits = AmazonLimits(clock, {})
        limits.throttled("getRates", 3600.0)
        with pytest.raises(RateLimited):
            await limits.acquire("getRates", SHOPPER)
        await limits.acquire("getFulfillmentOrder", SHOPPER)
        assert limits.pauses() == {"getRates": pytest.approx(3600.0, abs=5.0)}

    run_virtual(main)


def test_shops_that_share_a_limit_take_turns():
    """Within a lane; a shop's own callers stay in their order, and one who leaves keeps nobody from a turn."""

    async def main(clock):
        bucket = TokenBucket(clock, 1.0, 1.0)
        turns = Turns(clock, bucket)
        for shop, number in (*(("a", n) for n in range(4)), ("b", 0), ("c", 0), ("b", 1)):
            ON_BEHALF_OF.set(shop)
            turns.ask((shop, number))
        await settle()
        turns.tasks["c", 0].cancel()
        await turns.done()
        assert turns.names == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("a", 3)]

    run_virtual(main)


def test_the_most_urgent_of_a_shop_goes_first():
    """As urgent as it is when the turn comes; equals stay in their order, and another shop loses no turn."""

    async def main(clock):
        bucket = TokenBucket(clock, 1.0, 1.0)
        turns = Turns(clock, bucket)
        urgent: dict[object, float] = {}
        for shop, number in (("a", 0), ("a", 1), ("b", 0), ("a", 2), ("a", 3)):
            ON_BEHALF_OF.set(shop)
            URGENCY.set(lambda who=(shop, number): urgent.get(who, 0.0))
            turns.ask((shop, number))
        await settle()
        urgent |= {("a", 2): 1.0, ("a", 3): 2.0}
        await turns.done()
        assert turns.names == [("a", 3), ("b", 0), ("a", 2), ("a", 0), ("a", 1)]

    run_virtual(main)


def test_new_shoppers_and_those_who_wait_for_amazon_take_turns():
    """Each gets every second call, and the background its tenth of what is contested; alone each gets all."""

    async def main(clock):
        limits = AmazonLimits(clock, {"getFulfillmentOrder": (1.0, 1.0)})
        order: list[Lane] = []

        async def call(lane):
            await limits.acquire("getFulfillmentOrder", lane)
            order.append(lane)

        crowd = {BACKGROUND: 5, OPENING: 30, SHOPPER: 40}
        await asyncio.gather(*(call(lane) for lane, size in crowd.items() for _ in range(size)))
        both = order[1 : order.index(OPENING) + 50]
        assert abs(both.count(SHOPPER) - both.count(OPENING)) <= 3
        assert 2 <= both.count(BACKGROUND) <= 4
        assert order[-3:] != [BACKGROUND] * 3

    run_virtual(main)
