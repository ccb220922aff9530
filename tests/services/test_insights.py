"""What many returns tell together: sums of past days, and the days since counted as they are."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapters.sqlite.store import open_store
from daemon.domain.durations import DAY
from daemon.domain.returns import Finding, LabelSourceName, Postage, Void
from daemon.operations.exports import Exports
from daemon.operations.insights import COUNTED_AGAIN, SUMMED, Insights, Sums
from daemon.operations.reasons import Reasons
from daemon.operations.verbs.connections import ReasonShown
from daemon.operations.verbs.insights import ClaimRow, SkuRow, WaitRow
from daemon.operations.verbs.keeping import ReasonRow, SpendRow
from daemon.ports.store import Sum, Topic
from tests.services.store_conformance import add, make_return, make_unit
from tests.support.configured import a_policy
from tests.support.virtual_time import FakeClock

NOON = 1_800_000_000.0 // DAY * DAY + DAY / 2


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request, tmp_path):
    """An empty store of each kind."""
    if request.param == "sqlite":
        async with await open_store(tmp_path / "mcfd.db") as opened:
            yield opened
        return
    from adapters.postgresql.store import open_store as open_postgres

    server = request.getfixturevalue("postgres")
    async with await open_postgres("the database", server.new_database()) as opened:
        yield opened


@pytest.fixture
def clock():
    """It is noon."""
    return FakeClock(NOON)


@pytest.fixture
def insights(store, clock):
    """As a verb has them."""
    return Insights(store, clock)


async def found(store, name, condition, days_ago, *, sku="TEE", waited=3.0, delivered=False, shop="acme", **changes):
    """A return with one unit that was found in this condition so many days ago."""
    at = NOON - days_ago * DAY
    unit = make_unit(
        sku=sku,
        price_cents=1250,
        parent_reason=changes.pop("parent", "Defective"),
        reason=changes.pop("reason", "Seam"),
        order_id=f"o{name}",
        return_item_id=f"i{name}",
        authorization_id="A1",
        finding=Finding(condition=condition, found_at=at),
    )
    postage = Postage(
        authorization_id="A1",
        shipment_id=f"s{name}",
        carrier="USPS",
        charge_cents=607,
        source=LabelSourceName.EASYPOST,
        bought_at=at - waited * DAY,
        delivered_at=at if delivered else None,
    )
    ret = make_return(
        name,
        shop=shop,
        units=(unit,),
        postage=(replace(postage, **changes),),
        labelled_at=at - waited * DAY,
        created_at=at - waited * DAY,
    )
    await add(store, ret)
    return ret


async def fill(store):
    """Some of everything, today and long ago."""
    await found(store, "1", "Sellable", 0.1)
    await found(store, "2", "CustomerDamaged", 0.2)
    await found(store, "3", "FulfillerDamaged", 20)
    await found(store, "4", "missing", 20, delivered=True)
    await found(store, "5", "missing", 20)
    await found(store, "6", "", 30, sku="CAP", parent="", reason="Too small", waited=11.5)
    await found(store, "7", "Defective", 30, shop="other", void=Void.DONE)


async def test_the_numbers_are_those_of_the_returns(store, clock, insights):
    """Shares by SKU, reasons, waits, spending, claims and what never came: past days from sums, today counted live."""
    await fill(store)
    await Sums(store, clock).nightly()

    shown = await insights.show(None, "acme")

    assert shown.skus == [
        SkuRow(shop="acme", sku="TEE", units=5, unsellable=2, missing=2, share=0.6667, percent="67%"),
        SkuRow(shop="acme", sku="CAP", units=1, unsellable=0, missing=0, share=0.0, percent="0%"),
    ]
    assert (shown.units, shown.unsellable, shown.never_received, shown.never_received_value) == (6, 2, 2, "25.00")
    assert shown.reasons[0] == ReasonRow(
        shop="acme", reason="Defective / Seam", condition="missing", units=2, value="25.00"
    )
    assert ReasonRow(shop="acme", reason="Too small", condition="absent", units=1, value="12.50") in shown.reasons
    assert shown.waits == [WaitRow(days=3, units=3), WaitRow(days=10, units=1)]
    assert shown.spend == [SpendRow(shop="acme", source="easypost", carrier="USPS", labels=6, cost="36.42")]
    assert shown.claims == [
        ClaimRow(shop="acme", sku="TEE", condition=condition, units=1, value="12.50")
        for condition in ("FulfillerDamaged", "missing")
    ]
    assert (shown.claimable, shown.claimable_value, shown.labels, shown.spent) == (2, "25.00", 6, "36.42")
    assert {row.shop for row in (await insights.show(None, None)).skus} == {"acme", "other"}


async def test_the_reports_are_the_same_numbers(store, clock, insights):
    """The reports `reasons` and `spend` have the rows that the page shows, without labels that were given back."""
    await fill(store)
    await Sums(store, clock).nightly()
    exports, shown = Exports(store, insights), await insights.show(None, None)

    reasons, spend = await exports.page("reasons", None, 0), await exports.page("spend", None, 0)

    assert reasons.rows == shown.reasons
    assert (
        spend.rows == shown.spend == [SpendRow(shop="acme", source="easypost", carrier="USPS", labels=6, cost="36.42")]
    )
    assert (reasons.columns, spend.next) == (["shop", "reason", "condition", "units", "value"], None)


async def test_a_question_begins_where_it_is_told_to(store, clock, insights):
    """With `since`, days before it do not count."""
    await fill(store)
    await Sums(store, clock).nightly()

    shown = await insights.show(datetime.fromtimestamp(NOON - 25 * DAY, UTC), None)

    assert {row.sku: row.units for row in shown.skus} == {"TEE": 5}


async def test_nothing_is_counted_twice(store, clock, insights):
    """Several nights, and a day of its own in between, give the same sums; what comes later is added."""
    await fill(store)
    for _ in range(3):
        await Sums(store, clock).nightly()
        clock.advance(DAY)
    await found(store, "8", "Sellable", -2.5)

    shown = await insights.show(None, "acme")

    assert {row.sku: row.units for row in shown.skus} == {"TEE": 6, "CAP": 1}


async def test_a_correction_of_the_last_weeks_is_counted_again(store, clock, insights):
    """A label that is given back after its day was summed is not spent any more the night after."""
    ret = await found(store, "1", "Sellable", 10)
    await Sums(store, clock).nightly()
    stored = await store.read(lambda uow: uow.get("acme", ret.return_id))
    voided = replace(stored, postage=(replace(stored.postage[0], void=Void.DONE),))
    await store.transact(lambda uow: uow.save(voided, None, voided.state))
    await Sums(store, clock).nightly()

    assert (await insights.show(None, None)).spend == []


@pytest.mark.slow
async def test_the_first_night_counts_everything_and_later_ones_little(store, clock):
    """The first night begins with the first finding; afterwards only the last weeks are counted again."""
    await found(store, "1", "Sellable", 300)
    await found(store, "2", "Sellable", 250)
    await Sums(store, clock).nightly()
    today = int(NOON // DAY)
    assert await store.read(lambda uow: uow.mark(SUMMED)) == str(today)
    assert len(await store.survey(lambda keep: [*keep.sums(Topic.CONDITIONS, 0, today)])) == 1

    counted = []
    upkeep = store.upkeep

    async def counting(work):
        counted.append(work)
        return await upkeep(work)

    store.upkeep = counting
    await Sums(store, clock).nightly()
    assert len(counted) == 2 * COUNTED_AGAIN


async def test_an_empty_store_tells_of_nothing(store, clock, insights):
    """Before anything was found there are no rows, and no error."""
    await Sums(store, clock).nightly()

    shown = await insights.show(None, None)

    assert (shown.skus, shown.units, shown.spent) == ([], 0, "0.00")


@pytest.fixture
def reasons(store, clock):
    """As a verb has them: of acme one reason is mapped, other is not configured."""
    policy = a_policy(reasons={("", "too small"): "CR-SMALL"}, default_reason="CR-UNWANTED_ITEM")
    return Reasons(store, clock, {"acme": policy}.get, lambda _: None)


async def test_reasons_are_the_same_before_and_after_the_night(store, clock, reasons):
    """Reasons of all returns are counted alike from returns and from sums; what nobody mapped comes first."""
    await fill(store)
    wanted = [
        ReasonShown(shop="other", parent="Defective", reason="Seam", units=1, code=None),
        ReasonShown(shop="acme", parent="Defective", reason="Seam", units=5, code="CR-UNWANTED_ITEM"),
        ReasonShown(shop="acme", parent="", reason="Too small", units=1, code="CR-SMALL", mapped=True),
    ]

    assert (await reasons.seen(None)).reasons == wanted
    await Sums(store, clock).nightly()
    assert (await reasons.seen(None)).reasons == wanted


@pytest.mark.slow
async def test_a_reason_is_seen_at_once_and_a_dropped_return_stays_counted(store, clock, reasons):
    """A unit of today counts before the night; a return that is dropped long after has been counted."""
    await found(store, "1", "Sellable", 300)
    await Sums(store, clock).nightly()
    await store.upkeep(lambda keep: keep.drop_return("acme", "1"))
    await found(store, "2", "Sellable", 0.1, waited=0.0)
    await Sums(store, clock).nightly()

    assert [row.units for row in (await reasons.seen(None)).reasons] == [2]


@pytest.mark.parametrize("length", [1, 7, 8, 63, 64, 65, 200])
async def test_a_span_is_the_sum_of_its_days(store, length):
    """However the days fall into longer spans, and after a day was counted again, each day counts once."""

    def row(count):
        return Sum(topic=Topic.SPEND, shop="acme", a="easypost", b="USPS", count=count, cents=100 * count)

    def work(keep):
        for day in range(30, 250):
            keep.keep_sums(day, [Topic.SPEND], [row(day)])
        keep.keep_sums(40, [Topic.SPEND], [row(1)])
        keep.keep_sums(41, [Topic.SPEND], [])
        keep.keep_sums(42, [Topic.CONDITIONS], [])

    await store.upkeep(work)
    counts = {day: {40: 1, 41: 0}.get(day, day) for day in range(30, 250)}

    for start in (31, 32, 40, 41, 45):
        count = sum(counts[day] for day in range(start, start + length))
        told = await store.survey(lambda keep, start=start: keep.sums(Topic.SPEND, start, start + length))
        assert [*told] == ([row(count)] if count else [])
