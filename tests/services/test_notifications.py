"""What Amazon says by itself: it makes Amazon be read at once, decides nothing, and is lost in no crash."""

import asyncio

import pytest

from daemon.domain.returns import State
from daemon.engine.notifications import QueueReader
from daemon.errors import CredentialsRefused, RateLimited, StoreUnavailable, Unavailable
from daemon.operations.dead_letters import DeadLetters, Taken
from tests.services.running_walkers import RunningWalkers, crowd, shopper_waits
from tests.services.stage import HOUR, ORDER
from tests.support.builders import a_line
from tests.support.fake_queue import FakeQueue, a_return_message
from tests.support.virtual_time import settle

MINUTE = 60.0


def orders_read(stage) -> int:
    """How often Amazon was asked for an order so far."""
    return sum(call.operation == "order" for call in stage.network.calls)


@pytest.fixture
def queue(stage) -> FakeQueue:
    return FakeQueue(stage.clock)


@pytest.fixture
def reader(stage, queue) -> QueueReader:
    return reader_of(stage, queue)


def reader_of(stage, queue) -> QueueReader:
    return QueueReader(
        "notifications",
        queue,
        stage.news.hear,
        clock=stage.clock,
        pushes=[stage.push],
        read=lambda: None,
        failed=lambda _name, _error: None,
        beat=lambda: None,
    )


async def rounds(reader: QueueReader) -> None:
    """Let the reader read once, and wait as long as it waits after a failure."""
    running = asyncio.create_task(reader._round(asyncio.Event()))
    await in_time(reader, running)
    await running


async def in_time(reader: QueueReader, running: "asyncio.Task[None]", seconds: float = 300.0) -> None:
    """Let time pass until the task is done."""
    clock = reader._clock
    end = clock.monotonic() + seconds
    await settle()
    while not running.done() and clock.monotonic() < end:
        clock.advance((clock.next_timer() or end) - clock.monotonic())
        await settle()


# ---- a message makes Amazon be read


async def test_an_inspection_is_seen_when_amazon_says_so(stage, queue, reader):
    """A Return event brings the look forward: the unit is seen now instead of half a day later."""
    await stage.sent()
    await stage.inspect("Sellable")
    queue.send(a_return_message(ORDER))

    await rounds(reader)
    await stage.work()

    assert (await stage.unit()).finding is not None
    assert queue.deleted == [a_return_message(ORDER)]
    assert stage.metrics.notifications == {"announced": 1}


async def test_the_lag_is_measured_with_and_without_push(stage):
    """How long after Amazon's own date a unit is read counts, whoever brought it about."""
    await stage.sent()
    await stage.inspect("Sellable")
    await stage.pass_time(90.0)
    await stage.intake.order_changed(ORDER)
    await stage.work()
    assert stage.metrics.inspection_seconds == [90.0]


async def test_amazons_reads_lag_behind_its_word(stage, queue, reader):
    """Where nothing shows yet, it is read again after 5 minutes, half an hour, 2 hours and 6 hours, and then as ever."""
    ret = await stage.sent()
    spacing = stage.choices.timings.inspection_idle
    queue.send(a_return_message(ORDER))
    await rounds(reader)
    start, before = stage.clock.now(), orders_read(stage)

    await stage.work()
    looks = [0.0] if orders_read(stage) > before else []
    while len(looks) < 6:
        ret = await stage.ret()
        stage.clock.advance(ret.due_at - stage.clock.now())
        await stage.work()
        looks.append(stage.clock.now() - start)

    assert looks == [0.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 6 * HOUR + spacing]


async def test_once_the_news_shows_it_is_not_read_again(stage, queue, reader):
    """A hint is spent by the news, not by a reading."""
    await stage.sent()
    queue.send(a_return_message(ORDER))
    await rounds(reader)
    await stage.work()
    assert (await stage.ret()).announced_at is not None
    await stage.inspect("Sellable")
    await stage.pass_time(5 * MINUTE)
    assert (await stage.unit()).finding is not None
    assert (await stage.ret()).announced_at is None


async def test_one_unit_of_two_does_not_spend_the_hint(stage, queue, reader):
    """Two messages may meet in one reading that shows one unit: the other is still looked for soon."""
    await stage.sent(a_line("1"), a_line("2", sku="CAP"))
    await stage.inspect("Sellable", line="1")
    queue.send(a_return_message(ORDER))
    queue.send(a_return_message(ORDER))
    await rounds(reader)
    await stage.work()
    await stage.inspect("Sellable", line="2")
    await stage.pass_time(5 * MINUTE)
    assert (await stage.ret()).state is not State.AWAITING_INSPECTION


async def test_returns_that_share_an_order_are_announced_in_one_commit(stage, queue, reader):
    """Every return with units on the order is brought forward in one unit of work, and the order is read once."""
    stage.ship(ORDER, SOCK=2)
    for return_id in ("77", "78"):
        await stage.submit(a_line(sku="SOCK"), return_id=return_id)
        await stage.reach(State.AWAITING_INSPECTION, return_id=return_id)
    commits, before = stage.store.commits, orders_read(stage)
    queue.send(a_return_message(ORDER))

    await rounds(reader)
    assert stage.store.commits == commits + 1
    assert [(await stage.ret(i)).amazon_due_at for i in ("77", "78")] == [stage.clock.now()] * 2

    await stage.work()
    assert orders_read(stage) == before + 1


async def test_a_hint_that_comes_while_amazon_is_read_is_not_swallowed(stage, queue, reader):
    """The reading under way began before Amazon's word, so it is read once more."""
    await stage.sent()
    await stage.intake.order_changed(ORDER)

    async def announce() -> None:
        stage.clock.advance(1.0)
        queue.send(a_return_message(ORDER))
        await rounds(reader)
        await stage.inspect("Sellable")

    stage.network.meanwhile("order", announce)
    await stage.work()
    assert (await stage.unit()).finding is not None


async def test_amazon_may_speak_before_the_label_is_known_to_be_out(stage, queue, reader):
    """A message that comes while a return is not looked after yet is not lost: its first look is made at once."""
    stage.ship(ORDER, SOCK=1)
    await stage.submit()
    await stage.step_to(State.LABEL_READY)
    queue.send(a_return_message(ORDER))
    await rounds(reader)
    await stage.inspect("Sellable")
    await stage.work()
    assert (await stage.unit()).finding is not None


@pytest.mark.slow
async def test_a_late_arrival_is_announced_too(stage, queue, reader):
    """A return that was settled without a unit hears of it at once when it turns up after all."""
    await stage.sent(a_line("1"), a_line("2", sku="CAP"))
    await stage.inspect("Sellable", line="1")
    await stage.reach(State.IN_REVIEW, within=40 * 24 * HOUR)
    await stage.inspect("Sellable", line="2")
    queue.send(a_return_message(ORDER))
    await rounds(reader)
    await stage.work()
    assert (await stage.unit("2")).finding.condition == "Sellable"


# ---- messages that are not for us, or nobody's


async def test_what_concerns_nobody_costs_no_commit(stage, queue, reader):
    """Unknown orders and other events are counted and deleted, without a write: a backlog of them is cheap."""
    await stage.sent()
    for body in (
        a_return_message("of-nobody"),
        a_return_message(ORDER, event="Shipment"),
        b'{"NotificationType": "X"}',
    ):
        queue.send(body)
    commits = stage.store.commits
    await rounds(reader)
    assert stage.store.commits == commits
    assert queue.messages == {}
    assert stage.metrics.notifications == {"unknown_order": 1, "other": 2}


async def test_another_sellers_messages_are_left_alone(stage, queue, reader):
    """Two sellers may both have an order of that name: the subscription says whose it is, and then the seller."""
    await stage.sent()
    await stage.store.transact(lambda uow: stage.origins.learn_subscriptions(uow, ["sub-1"]))
    before = await stage.ret()
    queue.send(a_return_message(ORDER, subscription="sub-other", seller="AOTHER"))
    await rounds(reader)
    assert await stage.ret() == before
    queue.send(a_return_message(ORDER))
    await rounds(reader)
    assert stage.metrics.notifications == {"foreign": 1, "announced": 1}
    await stage.restart()
    await stage.origins.load(stage.store)
    assert stage.origins.seller == "ASELLER"


async def test_a_new_subscription_of_our_seller_is_ours(stage, queue, reader):
    """Whoever subscribes anew gets another id; the seller, once learnt, still says that it is ours."""
    await stage.sent()
    await stage.store.transact(lambda uow: stage.origins.learn_subscriptions(uow, ["sub-1"]))
    for subscription in ("sub-1", "sub-2"):
        queue.send(a_return_message(ORDER, subscription=subscription))
    await rounds(reader)
    assert stage.metrics.notifications["foreign"] == 0


async def test_what_cannot_be_read_is_kept_and_can_be_replayed(stage, queue, reader):
    """An unreadable message is deleted from the queue and kept, sealed; after a fix `replay` hears it."""
    await stage.sent()
    queue.send(b'{"NotificationType": "FULFILLMENT_ORDER_STATUS", "Payload": 1}')
    queue.send(a_return_message(ORDER))
    await rounds(reader)
    assert queue.messages == {}
    assert stage.metrics.notifications == {"announced": 1, "unreadable": 1}

    async def offer(shop: str, body: bytes, _received_at: float) -> Taken:
        assert shop == "amazon/notifications"
        await stage.news.hear_again(body)
        return Taken("", fresh=True)

    letters = DeadLetters(stage.sqlite, stage.clock, stage.box, offer)
    kept = await letters.replay(["all"], "test")
    assert kept.replayed[0].outcome == "kept"
    stage.news._decode = lambda _body: stage_message()
    taken = await letters.replay(["all"], "test")
    assert taken.replayed[0].outcome == "taken"
    assert await stage.sqlite.survey(lambda keep: keep.letters()) == []


def stage_message():
    from adapters.amazon_mcf.wire.notifications import decode_notification

    return decode_notification(a_return_message(ORDER))


# ---- nothing is lost


async def test_nothing_is_deleted_before_its_commit(stage, queue, reader):
    """While the store cannot write, the message stays in the queue and comes again."""
    await stage.sent()
    queue.send(a_return_message(ORDER))
    stage.store.fail(StoreUnavailable("disk full"))
    with pytest.raises(StoreUnavailable):
        await rounds(reader)
    assert queue.deleted == []
    assert (await stage.ret()).announced_at is None
    stage.clock.advance(121)
    await rounds(reader)
    assert (await stage.ret()).announced_at is not None
    assert len(queue.deleted) == 1


async def test_a_message_whose_deletion_failed_is_heard_again(stage, queue, reader):
    """Heard twice is read twice, and otherwise nothing."""
    await stage.sent()
    await stage.inspect("Sellable")
    queue.send(a_return_message(ORDER))
    queue.watch = lambda point: (
        queue.failures.append(Unavailable("gone")) if point == "delete" and not queue.deleted else None
    )
    with pytest.raises(Unavailable):
        await rounds(reader)
    await stage.work()
    queue.watch = lambda _point: None
    stage.clock.advance(121)
    await rounds(reader)
    await stage.work()
    assert queue.messages == {}
    assert (await stage.history()).count("UnitsInspected") == 1


async def test_a_bug_in_one_message_holds_up_no_other(stage, queue, reader):
    """Nine messages of ten are heard and deleted although the tenth breaks us."""
    await stage.sent()
    real = stage.news._decode

    def decode(body: bytes):
        if body == b"poison":
            raise ZeroDivisionError
        return real(body)

    stage.news._decode = decode
    for body in (b"poison", a_return_message(ORDER)):
        queue.send(body)
    await rounds(reader)
    assert [held.body for held in queue.messages.values()] == [b"poison"]
    assert (await stage.ret()).announced_at is not None


async def test_a_message_that_breaks_us_alone_is_no_failure_of_the_queue(stage, queue, reader):
    """Nothing is deleted then, which SQS would refuse, and the queue counts as read."""
    stage.news._decode = lambda _body: 1 // 0
    queue.send(b"poison")
    points = []
    queue.watch = points.append
    await rounds(reader)
    assert points == ["receive"]
    assert stage.push._read_at is not None


async def test_a_daemon_that_stops_does_not_wait_for_a_queue_that_hangs(stage, queue, reader):
    """A deletion that is never answered gets two seconds; the message comes again, and costs a reading."""
    await stage.sent()
    queue.send(a_return_message(ORDER))
    stop, never = asyncio.Event(), asyncio.Event()
    queue.delete = lambda _receipts: stage.clock.wait(never, None)
    running = asyncio.create_task(reader.run(stop))
    await settle()
    before = stage.clock.now()
    stop.set()
    await in_time(reader, running, 60.0)
    await running
    assert stage.clock.now() - before == 2.0
    assert (await stage.ret()).announced_at is not None


@pytest.mark.parametrize("error", [Unavailable("x"), RateLimited("x", retry_after=5.0), CredentialsRefused("x")])
async def test_a_queue_that_fails_is_tried_again(stage, queue, reader, error):
    """Whatever AWS says, the reader waits a while and reads on; nothing else stops."""
    await stage.sent()
    queue.failures = [error] * 3
    stop = asyncio.Event()
    running = asyncio.create_task(reader.run(stop))
    queue.send(a_return_message(ORDER))
    await in_time(reader, running, 60.0)
    stop.set()
    await running
    assert (await stage.ret()).announced_at is not None
    assert queue.messages == {}


async def test_stopping_interrupts_the_long_poll(stage, queue, reader):
    """A daemon that stops does not wait twenty seconds for messages."""
    stop = asyncio.Event()
    running = asyncio.create_task(reader.run(stop))
    before = stage.clock.now()
    await settle()
    assert queue.reads == 1
    stop.set()
    await running
    assert stage.clock.now() == before


# ---- looks are spared while Amazon announces


async def come_back(stage, queue, reader, number: int, *, announced: bool) -> None:
    """One more return is inspected, after Amazon has said so, or without a word."""
    order, return_id = f"A-{number}", str(1000 + number)
    stage.ship(order, SOCK=1)
    await stage.submit(a_line(sku="SOCK"), return_id=return_id, provider_order_id=order)
    await stage.reach(State.AWAITING_INSPECTION, return_id=return_id)
    await stage.inspect("Sellable", return_id=return_id)
    if announced:
        queue.send(a_return_message(order))
        await rounds(reader)
    else:
        await stage.intake.order_changed(order)
    await stage.work()


async def pass_with_queue(stage, seconds: float) -> None:
    """Let time pass while the queue is read every few minutes."""
    end = stage.clock.now() + seconds
    while stage.clock.now() < end:
        stage.push.queue_read()
        await stage.pass_time(min(10 * MINUTE, end - stage.clock.now()))
    stage.push.queue_read()


async def relied_on(stage, queue, reader, *, announced: int = 10) -> None:
    for number in range(10):
        await come_back(stage, queue, reader, number, announced=number < announced)
    stage.push.queue_read()


@pytest.mark.slow
async def test_looks_are_four_times_as_far_apart_while_amazon_announces(stage, queue, reader):
    """With nine of the last ten findings announced and a queue that works, three looks of four are spared."""
    await relied_on(stage, queue, reader, announced=9)
    await stage.sent()
    await stage.pass_time(12 * HOUR + 1)
    first = orders_read(stage)
    for spared in range(1, 5):
        await pass_with_queue(stage, 12 * HOUR)
        assert orders_read(stage) == first + (spared == 4)


async def test_eight_of_ten_are_not_enough(stage, queue, reader):
    """Where inspections come unannounced, Amazon is asked as often as ever."""
    await relied_on(stage, queue, reader, announced=8)
    assert stage.push.spacing == 1.0


@pytest.mark.slow
async def test_a_queue_that_fails_brings_the_usual_spacing_back_at_once(stage, queue, reader):
    """The very next look of the usual spacing is made, for returns that wait already, too."""
    await relied_on(stage, queue, reader)
    await stage.sent()
    await pass_with_queue(stage, 24 * HOUR + 1)
    before = orders_read(stage)
    await pass_with_queue(stage, 12 * HOUR - MINUTE)
    assert stage.push.spacing == 4.0
    queue.failures = [Unavailable("down")]
    with pytest.raises(Unavailable):
        await rounds(reader)
    await stage.pass_time(MINUTE)
    assert orders_read(stage) == before + 1


async def test_a_queue_that_was_not_read_lately_is_not_relied_on(stage, queue, reader):
    """After a quarter of an hour without a reading nothing is spared any more."""
    await relied_on(stage, queue, reader)
    assert stage.push.spacing == 4.0
    stage.clock.advance(15 * MINUTE + 1)
    assert stage.push.spacing == 1.0


async def test_what_was_announced_is_remembered_over_a_restart(stage, queue, reader):
    """A restart does not make Amazon be asked four times as often again."""
    await relied_on(stage, queue, reader)
    await stage.restart()
    await stage.push.load()
    stage.push.queue_read()
    assert stage.push.spacing == 4.0


@pytest.mark.slow
@pytest.mark.parametrize("pushed", [True, False])
async def test_missing_clocks_are_as_ever(stage, queue, reader, pushed):
    """A parcel of which nothing is heard is missing, or given up, at the same hour whether looks are spared or not."""
    if pushed:
        await relied_on(stage, queue, reader)
    ret = await stage.sent()
    start = stage.clock.now()
    while (await stage.ret()).state is State.AWAITING_INSPECTION:
        await (pass_with_queue(stage, 6 * HOUR) if pushed else stage.pass_time(6 * HOUR))
        assert stage.clock.now() - start < 60 * 24 * HOUR
    gone = stage.clock.now() - ret.labelled_at
    assert 45 * 24 * HOUR <= gone <= 45 * 24 * HOUR + 12 * HOUR
    assert (await stage.ret()).state is State.EXPIRED


async def test_a_person_who_asks_is_not_spared(stage, queue, reader):
    """`mcfd look` reads the order, however much Amazon is relied on."""
    await relied_on(stage, queue, reader)
    await stage.sent()
    await stage.pass_time(12 * HOUR + 1)
    before = orders_read(stage)
    stage.push.queue_read()
    await stage.intake.order_changed(ORDER)
    await stage.work()
    assert orders_read(stage) == before + 1


@pytest.mark.slow
async def test_a_long_backlog_is_read_to_its_end_and_holds_up_nothing(stage, queue, reader):
    """Thousands of messages of orders that are none of ours cost no commit; ours behind them is heard, others go on."""
    await stage.sent()
    for number in range(3000):
        queue.send(a_return_message(f"of-nobody-{number}"))
    queue.send(a_return_message(ORDER))
    commits, stop = stage.store.commits, asyncio.Event()
    running = asyncio.create_task(reader.run(stop))
    for _ in range(20_000):
        if not queue.messages:
            break
        await settle(1)
    stop.set()
    await running
    assert queue.messages == {}
    assert stage.store.commits == commits + 1
    assert (await stage.ret()).announced_at is not None


BACKLOG = 20_000
WAITING = 20
"""Returns of ours that wait for their inspection while the backlog is read."""


class Backlog(FakeQueue):
    """A queue as far away as SQS, in which 20,000 messages lie; each comes to be when it is read."""

    async def receive(self):
        for number in range(self.made, min(self.made + 10, BACKLOG)):
            self.send(one_of_many(number))
        await self.clock.wait(asyncio.Event(), 0.05)
        return await super().receive()

    async def delete(self, receipts):
        await self.clock.wait(asyncio.Event(), 0.05)
        await super().delete(receipts)

    @property
    def made(self) -> int:
        """How many messages there were so far."""
        return len(self.deleted) + len(self.messages)


def one_of_many(number: int) -> bytes:
    """A tenth of another seller, with our orders' names; in the middle as many of ours, five times what may be read."""
    ours = f"b{number // 10 % WAITING}"
    if number % 10 == 1:
        return a_return_message(ours, subscription="sub-other", seller="AOTHER")
    if number % 10 == 0 and abs(number - BACKLOG // 2) <= BACKLOG // 20:
        return a_return_message(ours)
    return a_return_message(f"of-nobody-{number}")


@pytest.mark.slow
def test_a_shopper_gets_a_label_as_ever_while_a_long_backlog_is_read(living):
    """Behind the vendors' limits a label takes no longer amid the backlog, which is counted and deleted to its end."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        await stage.store.transact(lambda uow: stage.origins.learn_subscriptions(uow, ["sub-1"]))
        await crowd(stage, WAITING)
        for number in range(WAITING):
            await running.until(State.AWAITING_INSPECTION, f"b{number}")
        queue = Backlog(stage.clock)
        reading = asyncio.create_task(reader_of(stage, queue).run(running.stop))
        while len(queue.deleted) < BACKLOG // 2:
            await running.wait(1.0)

        assert await shopper_waits(running) < 2.5
        assert len(queue.deleted) < BACKLOG * 0.55

        while len(queue.deleted) < BACKLOG:
            await running.wait(1.0)
        running.stop.set()
        await reading
        assert queue.messages == {}
        assert stage.metrics.notifications == {"announced": 201, "foreign": 2000, "unknown_order": 17_799}

    living(scenario, limited=True)
