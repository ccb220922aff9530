"""A label reaches the portal once, or a person hears why not."""

from dataclasses import replace

import pytest

from daemon.domain.portal import PortalState, RequestCancelled, RequestIssued, RequestStatus, ReturnChanged
from daemon.domain.returns import LabelSourceName, RequestState, State, Transit, Void
from daemon.errors import Refused, Unavailable
from tests.services.stage import DAY, HOUR, ORDER, ORDER_TEMPLATES
from tests.support.builders import a_line, a_portal_request
from tests.support.configured import a_policy, clocks

LOST = Unavailable("time-out")
BOUGHT = a_policy(
    order_id_templates=ORDER_TEMPLATES, label_source=LabelSourceName.AMAZON_SHIPPING, report_transit="all"
)


async def ready(stage, *lines):
    """A return whose label is made, and not yet delivered."""
    stage.ship(SOCK=len(lines) or 1)
    await stage.submit(*lines)
    await stage.step_to(State.LABEL_READY)


def notes(stage, words) -> list[str]:
    """The notes on the timeline that say this."""
    return [note for note in stage.portal.returns["77"].notes if words in note]


class TestThePage:
    async def test_the_label_is_delivered_once(self, stage):
        """Amazon's RMA page is the label, the RMA id its tracking number; one note says so."""
        ret = await stage.sent()

        (label,) = stage.portal.labels.values()
        assert (label.url, label.carrier, label.tracking_number, label.rate_cents) == (
            "https://rma.test/A1",
            "Amazon",
            "RMA-A1",
            0,
        )
        assert ret.requests[0].label_id == "label-1"
        assert len(notes(stage, "Label delivered: Amazon, tracking RMA-A1.")) == 1
        assert stage.portal.count("deliver_label") == 1

    async def test_the_time_to_the_label_is_measured(self, stage):
        """From hearing of the request to the label in the portal."""
        stage.network.authorization_delay = 10.0
        await stage.sent()

        assert stage.metrics.label_seconds == [10.0]

    async def test_several_parcels_are_one_document_of_ours(self, stage):
        """Two authorizations cannot share Amazon's page: one hosted document links to both."""
        stage.network.center_of = {"SOCK": "LEX1", "CAP": "RNO1"}
        await stage.sent(a_line("1", "SOCK"), a_line("2", "CAP"))

        (label,) = stage.portal.labels.values()
        assert label.url.startswith("https://returns.test/labels/")
        token = label.url.removeprefix("https://returns.test/labels/").removesuffix(".pdf")
        document = await stage.hosting.open(token)
        assert b"RMA-A1" in document
        assert b"RMA-A2" in document


class TestUnclearAnswers:
    async def test_an_answer_lost_after_the_effect_is_recognised(self, stage):
        """Loop has our URL: delivered. The label's id is lost, which one note and one counter say."""
        await ready(stage)
        stage.portal.fail("deliver_label", LOST, after=True)
        ret = await stage.reach(State.AWAITING_INSPECTION, within=60.0)
        await stage.work()

        assert stage.portal.count("deliver_label") == 1
        assert (ret.requests[0].asked, ret.requests[0].label_id) == (RequestState.DELIVERED, None)
        assert len(notes(stage, "its id was lost")) == 1
        assert stage.metrics.troubles["label_id_lost"] == 1

    async def test_a_call_that_arrives_after_its_time_out_is_recognised(self, stage):
        """Loop takes the first call while the second is under way, and refuses that one: the label is there, and ours."""
        await ready(stage)
        label = (await stage.ret()).requests[0].label

        async def arrives() -> None:
            stage.portal.requests["q77"] = replace(stage.portal.requests["q77"], status=RequestStatus.FULFILLED)
            stage.portal.returns["77"].label_urls.append(label.url)

        stage.portal.fail("deliver_label", LOST)
        await stage.step()
        stage.portal.meanwhile("deliver_label", arrives)
        ret = await stage.reach(State.AWAITING_INSPECTION, within=60.0)

        assert (ret.requests[0].asked, ret.requests[0].label_id) == (RequestState.DELIVERED, None)
        assert stage.portal.count("deliver_label") == 2

    async def test_a_page_that_two_requests_share_proves_nothing_for_the_second(self, stage):
        """Loop has our URL, from the other request: the one whose delivery failed gets its label all the same."""
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(a_line("1", "SOCK"), a_line("2", "CAP"), request=a_portal_request("q1", skus=("SOCK",)))
        stage.portal.ask(a_portal_request("q2", skus=("CAP",)))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))
        await stage.step_to(State.LABEL_READY)
        await stage.step()
        stage.portal.fail("deliver_label", LOST)
        await stage.reach(State.AWAITING_INSPECTION, within=60.0)

        assert [label.url for label in stage.portal.labels.values()] == ["https://rma.test/A1"] * 2
        assert {r.status for r in stage.portal.requests.values()} == {RequestStatus.FULFILLED}

    async def test_no_status_is_sent_for_a_label_whose_id_is_lost(self, stage):
        """Without its id a label has no status; the return goes on all the same."""
        await ready(stage)
        stage.portal.fail("deliver_label", LOST, after=True)
        await stage.reach(State.AWAITING_INSPECTION, within=60.0)
        await stage.inspect()
        await stage.reach(State.CLOSED)

        assert stage.portal.count("report_transit") == 0

    async def test_a_call_without_effect_is_made_again(self, stage):
        """Loop does not know our URL: the label is posted again, and its id is known."""
        await ready(stage)
        stage.portal.fail("deliver_label", LOST)
        ret = await stage.reach(State.AWAITING_INSPECTION, within=60.0)

        first, second = stage.portal.made("deliver_label")
        assert second.at - first.at >= 5.0  # the first one may still be on its way
        assert len(stage.portal.labels) == 1
        assert ret.requests[0].label_id == "label-1"
        assert notes(stage, "its id was lost") == []

    async def test_a_label_request_error_is_posted_once(self, stage):
        """The answer to the error was lost: the errors there are read first, and ours is among them."""
        stage.ship(SOCK=1)
        stage.network.refuse = {"SOCK": ("InvalidValues", "too old")}
        stage.portal.fail("report_refusal", LOST, after=True)
        await stage.submit()
        await stage.reach(State.CLOSED, within=60.0)

        assert stage.portal.count("report_refusal") == 1
        assert len(stage.portal.requests["q77"].errors) == 1


class TestOvertaken:
    async def test_a_request_cancelled_meanwhile_gets_no_label(self, stage):
        """The request is read once more before the label is posted."""
        await ready(stage)
        stage.portal.withdraw("q77")
        await stage.work()

        assert (await stage.ret()).state is State.CANCELLED
        assert stage.portal.count("deliver_label") == 0
        assert len(notes(stage, "Cancelled in Loop")) == 1

    async def test_a_request_that_another_answered_meanwhile_is_left_alone(self, stage):
        """A label that is not ours is none of our business; the units we asked for are still watched."""
        await ready(stage)
        stage.portal.ask(replace(stage.portal.requests["q77"], status=RequestStatus.FULFILLED))
        await stage.work()

        ret = await stage.ret()
        assert (ret.state, ret.requests[0].asked) == (State.CLOSED, RequestState.NOT_OURS)
        assert stage.portal.count("deliver_label") == 0
        assert ret.amazon_due_at is not None

    async def test_a_refused_label_needs_a_person(self, stage):
        """Loop will not have the label: STUCK, with a note and a label request error that say why."""
        await ready(stage)
        stage.portal.fail("deliver_label", Refused("UNPROCESSABLE", "carrier is too long"))
        await stage.reach(State.STUCK)
        await stage.work()

        (error,) = stage.portal.requests["q77"].errors
        assert "carrier is too long" in error
        assert len(notes(stage, "carrier is too long")) == 1
        assert stage.portal.count("deliver_label") == 1

    async def test_a_return_closed_in_loop_gets_no_label(self, stage):
        """A hint that the return was closed while Amazon is waited for ends it."""
        stage.network.authorization_delay = HOUR
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.reach(State.AWAITING_LABEL)

        stage.portal.set_state("77", PortalState.CLOSED)
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))
        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.CLOSED
        assert stage.portal.labels == {}

    async def test_a_cancel_webhook_for_a_stuck_return_is_taken(self, open_with):
        """Whatever became of a return, a cancel is acknowledged: a stuck one whose label is out stays watched."""
        stage = await open_with(attempts=1)
        await stage.sent()
        stage.network.fail("order", RuntimeError("a bug"))
        await stage.pass_time(DAY)
        assert (await stage.ret()).state is State.STUCK

        stage.portal.set_state("77", PortalState.CANCELLED)
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await stage.tell(ReturnChanged(return_id="77", state=PortalState.CANCELLED))
        await stage.pass_time(8 * DAY)

        assert len(notes(stage, "Cancelled in Loop")) >= 1
        assert stage.metrics.troubles["bug"] == 1


class TestBoughtLabels:
    async def test_a_label_is_bought_once_and_hosted(self, open_with):
        """The service is quoted, the label bought, and a document of ours that holds it is delivered."""
        stage = await open_with(policy=BOUGHT)
        ret = await stage.sent()

        (label,) = stage.portal.labels.values()
        assert (label.carrier, label.tracking_number, label.rate_cents) == ("UPS", "1ZS1", 799)
        token = label.url.removeprefix("https://returns.test/labels/").removesuffix(".pdf")
        assert b"%PDF S1" in await stage.hosting.open(token)
        assert stage.postage.live() == ["S1"]
        assert ret.postage[0].printable

    async def test_the_shoppers_address_is_not_stored(self, open_with):
        """It is read when it is needed and forgotten: the database does not hold it."""
        stage = await open_with(policy=BOUGHT)
        await stage.sent()
        assert stage.postage.orders[0].ship_from.line1 == "5 Elm Street"

        await stage.sqlite._writer.read(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        assert b"Elm Street" not in stage.path.read_bytes()

    @pytest.mark.parametrize("after", [False, True])
    async def test_an_unclear_purchase_is_settled_by_repeating_it(self, open_with, after):
        """The same body and key are sent again: one label in all, whether the first call had its effect or not."""
        stage = await open_with(policy=BOUGHT)
        stage.postage.fail("buy", LOST, after=after)
        await stage.sent()

        first, second = stage.postage.made("buy")
        assert first.arguments == second.arguments
        assert stage.postage.live() == ["S1"]

    async def test_an_offer_that_lapsed_is_quoted_anew_under_the_same_key(self, open_with):
        """After an outage longer than the offer lives a new rate of the service is bought, still once."""
        stage = await open_with(policy=BOUGHT)
        stage.ship(SOCK=1)
        await stage.submit()
        stage.postage.fail("buy", Unavailable("down"), times=125)
        await stage.reach(State.AWAITING_INSPECTION)

        assert stage.postage.count("offer") == 2
        assert len({call.arguments[1] for call in stage.postage.made("buy")}) == 1
        assert stage.postage.live() == ["S1"]

    async def test_a_label_that_cannot_be_printed_yet_is_waited_for(self, open_with):
        """The document is polled for; nothing is bought again."""
        stage = await open_with(policy=BOUGHT)
        stage.postage.document_delay = 7.0
        await stage.sent()

        assert stage.postage.count("document") > 1
        assert stage.postage.count("buy") == 1

    async def test_a_service_that_is_not_offered_is_held(self, open_with):
        """STUCK with the ids that were offered, an alarm, and no error posted to Loop."""
        stage = await open_with(policy=BOUGHT)
        stage.postage.services = ("GROUND", "AIR")
        stage.ship(SOCK=1)
        await stage.submit()
        ret = await stage.reach(State.STUCK)
        await stage.pass_time(DAY)

        assert "GROUND, AIR" in ret.problem
        assert stage.portal.requests["q77"].errors == ()
        assert stage.metrics.troubles["service_not_offered"] == 1

    async def test_a_service_that_is_not_offered_may_be_replaced_by_the_page(self, open_with):
        """With `on_service_not_offered: rma_page` the shopper gets Amazon's page instead."""
        stage = await open_with(policy=replace(BOUGHT, page_instead=frozenset({LabelSourceName.AMAZON_SHIPPING})))
        stage.postage.services = ()
        await stage.sent()

        (label,) = stage.portal.labels.values()
        assert label.url == "https://rma.test/A1"

    async def test_a_label_of_a_cancelled_return_is_given_back(self, open_with):
        """Nobody has scanned it: it is voided once, and that is noted."""
        stage = await open_with(policy=BOUGHT)
        await stage.sent()
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await stage.work()

        assert stage.postage.live() == []
        assert stage.postage.count("void") == 1
        assert (await stage.ret()).postage[0].void is Void.DONE

    async def test_a_label_that_is_on_its_way_is_kept(self, open_with):
        """The carrier is asked first: a scanned parcel keeps its label."""
        stage = await open_with(policy=BOUGHT)
        await stage.sent()
        stage.postage.scan(Transit.IN_TRANSIT)
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await stage.work()

        assert stage.postage.live() == ["S1"]
        assert stage.postage.count("void") == 0

    async def test_an_unclear_purchase_of_a_cancelled_return_is_settled_then_voided(self, open_with):
        """The answer to the purchase was lost and the request cancelled: what was bought is found and given back."""
        stage = await open_with(policy=BOUGHT)
        stage.ship(SOCK=1)
        await stage.submit()
        stage.postage.fail("buy", Unavailable("down", retry_after=60.0), after=True)
        while stage.postage.count("buy") == 0:
            await stage.step()
        stage.portal.withdraw("q77")
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await stage.pass_time(HOUR)

        assert (await stage.ret()).state is State.CANCELLED
        assert len(stage.postage.purchases) == 1
        assert stage.postage.live() == []

    async def test_a_new_request_after_a_void_buys_a_new_label(self, open_with):
        """Cancelled, voided, asked again: the purchase number rises, so the second purchase is another one."""
        stage = await open_with(policy=BOUGHT)
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.LABEL_READY)
        stage.portal.withdraw("q77")
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await stage.work()
        assert stage.postage.live() == []

        stage.portal.ask(a_portal_request("q2"))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))
        await stage.reach(State.AWAITING_INSPECTION)

        assert len(stage.postage.purchases) == 2
        assert len(stage.postage.live()) == 1
        assert len(stage.network.items(ORDER)) == 1


class TestOnItsWay:
    async def test_progress_is_reported_forward_only_and_once(self, open_with):
        """Each scan is one status; what was reported before is not repeated."""
        stage = await open_with(policy=BOUGHT)
        await stage.sent()
        for transit in (Transit.IN_TRANSIT, Transit.IN_TRANSIT, Transit.PRE_TRANSIT, Transit.DELIVERED):
            stage.postage.scan(transit)
            await stage.pass_time(DAY)

        assert stage.portal.transits["label-1"] == [Transit.IN_TRANSIT, Transit.DELIVERED]

    @pytest.mark.parametrize(
        ("report", "told"),
        [("all", [Transit.IN_TRANSIT, Transit.DELIVERED]), ("delivered", [Transit.DELIVERED]), ("never", [])],
    )
    async def test_the_shop_decides_what_is_reported(self, open_with, report, told):
        """Loop can be set to pay out on a scan, so a shop may keep scans to itself."""
        stage = await open_with(policy=replace(BOUGHT, report_transit=report))
        await stage.sent()
        for transit in (Transit.IN_TRANSIT, Transit.DELIVERED):
            stage.postage.scan(transit)
            await stage.pass_time(DAY)

        assert stage.portal.transits["label-1"] == told

    async def test_the_first_processed_unit_says_delivered(self, stage):
        """Without postage nobody tracks the parcel: its arrival is the first inspection."""
        await stage.sent(a_line("1"), a_line("2"))
        await stage.inspect(line="1")
        await stage.pass_time(DAY)

        assert stage.portal.transits["label-1"] == [Transit.DELIVERED]

    async def test_a_refused_status_is_let_go(self, stage):
        """A status only informs: a refusal is counted, and the return goes on."""
        await stage.sent()
        stage.portal.fail("report_transit", Refused("NOT_FOUND", "label"))
        await stage.inspect()
        await stage.reach(State.CLOSED)

        assert stage.portal.count("report_transit") == 1
        assert stage.metrics.troubles["report_transit_refused"] == 1

    async def test_a_lost_parcel_is_missing_after_its_grace(self, open_with):
        """The carrier gave it up: a week later its units are missing, and the return goes to review."""
        stage = await open_with(policy=BOUGHT, timings=clocks(missing_lost=2 * DAY))
        await stage.sent()
        stage.postage.scan(Transit.IN_TRANSIT, lost=True)
        await stage.pass_time(1.5 * DAY)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

        await stage.reach(State.IN_REVIEW, within=2 * DAY)
        assert len(notes(stage, "Missing: SOCK")) == 1
