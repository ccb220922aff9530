"""Cases 2 and 3: one file with every parcel in it, and each parcel followed on its own."""

from dataclasses import replace
from io import BytesIO

import pytest
from pypdf import PdfReader

from adapters.labels.document import PdfPrinter
from daemon.domain.returns import RequestState, State, Transit
from tests.services.parcels import BOUGHT, PAGE, TWO, actions, buying, notes, postage, two_parcels
from tests.services.stage import DAY, HOUR, ORDER
from tests.support.builders import a_portal_request
from tests.support.fakes import FakePostage


async def printing(open_with, policy=BOUGHT):
    """A stage that prints as the daemon does."""
    stage, source = await buying(open_with, policy=policy)

    async def render(parcels, order_name):
        return PdfPrinter().render(parcels, order_name=order_name)

    context = stage.contexts["acme"]
    context.labels = replace(context.labels, print_labels=render)
    return stage, source


async def pages(stage, number=0) -> list[str]:
    """The text of each page of the document that a label links to."""
    label = list(stage.portal.labels.values())[number]
    document = await stage.hosting.open(label.url.rpartition("/")[2].removesuffix(".pdf"))
    return [page.extract_text() for page in PdfReader(BytesIO(document)).pages]


async def links(stage) -> list[str]:
    """Where the document's links lead to."""
    label = next(iter(stage.portal.labels.values()))
    document = await stage.hosting.open(label.url.rpartition("/")[2].removesuffix(".pdf"))
    found = [a.get_object() for page in PdfReader(BytesIO(document)).pages for a in page.get("/Annots", [])]
    return [str(a["/A"]["/URI"]) for a in found]


class TestDocument:
    async def test_the_label_page_comes_before_the_slip(self, open_with):
        """Case 2: the carrier's page, then the slip with the RMA as text, the units and where they go."""
        stage, _ = await printing(open_with)
        await stage.sent()
        label, slip = await pages(stage)
        assert label.strip() == "LABEL 1Z-SH1"
        for text in ("RMA-A1", "SOCK", "Amazon Returns", "1 Dock Road", "#1001", "Parcel 1 of 1"):
            assert text in slip
        assert await links(stage) == ["https://rma.test/A1"]

    async def test_all_parcels_are_in_one_file(self, open_with):
        """Cases 2 and 3: two parcels are two labels and two slips in one file, which the one label in Loop links to."""
        stage, source = await printing(open_with)
        await two_parcels(stage)
        one, two, three, four = await pages(stage)
        assert (one.strip(), three.strip()) == ("LABEL 1Z-SH1", "LABEL 1Z-SH2")
        assert all(text in two for text in ("RMA-A1", "SOCK", "Parcel 1 of 2"))
        assert "CAP" not in two
        assert all(text in four for text in ("RMA-A2", "CAP", "Parcel 2 of 2"))
        assert source.bought() == ["77-A1", "77-A2"]
        assert len(stage.portal.labels) == 1

    async def test_loop_gets_the_first_number_and_the_sum(self, open_with):
        """Case 3: Loop knows one tracking number; the others are in the note, and the rate is that of all parcels."""
        stage, _ = await printing(open_with)
        await two_parcels(stage)
        await stage.work()
        (label,) = stage.portal.labels.values()
        assert (label.tracking_number, label.rate_cents) == ("1Z-SH1", 1300)
        assert notes(stage, "Label delivered") == ["Label delivered: Swift, tracking 1Z-SH1. Further parcels: 1Z-SH2."]

    async def test_several_pages_of_amazon_are_one_file_with_links(self, open_with):
        """Case 3: without postage, several authorizations are one hosted file of slips that link to each RMA page."""
        stage, source = await printing(open_with, policy=PAGE)
        await two_parcels(stage)
        first, second = await pages(stage)
        assert "RMA-A1" in first
        assert "RMA-A2" in second
        assert await links(stage) == ["https://rma.test/A1", "https://rma.test/A2"]
        (label,) = stage.portal.labels.values()
        assert (label.carrier, label.tracking_number, label.rate_cents) == ("Amazon", "RMA-A1", 0)
        assert source.calls == []

    async def test_each_label_request_has_the_label_of_its_own_parcel(self, open_with):
        """Case 3: two label requests for two parcels get a document each, with a tracking number each."""
        stage, source = await printing(open_with)
        stage.network.center_of = {"SOCK": "LEX1", "CAP": "RNO1"}
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(*TWO, request=a_portal_request("q77", skus=("SOCK",)))
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
        await stage.polls.label_requests()
        ret = await stage.reach(State.AWAITING_INSPECTION)
        assert [r.asked for r in ret.requests] == [RequestState.DELIVERED] * 2
        assert [label.tracking_number for label in stage.portal.labels.values()] == ["1Z-SH1", "1Z-SH2"]
        assert [len(await pages(stage, n)) for n in (0, 1)] == [2, 2]
        assert source.bought() == ["77-A1", "77-A2"]

    async def test_two_requests_may_share_a_parcel(self, open_with):
        """Case 3: when both requests' units go to one center, the one label that was bought serves both."""
        stage, source = await printing(open_with)
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(*TWO, request=a_portal_request("q77", skus=("SOCK",)))
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
        await stage.polls.label_requests()
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.bought() == ["77-A1"]
        assert [label.tracking_number for label in stage.portal.labels.values()] == ["1Z-SH1"] * 2


class TestFollowed:
    async def test_each_parcel_has_its_own_way(self, open_with):
        """Case 3: each parcel is tracked by its own number; both arrivals are noted, and both units decide."""
        stage, source = await buying(open_with)
        await two_parcels(stage)
        source.scan(Transit.IN_TRANSIT, "A1")
        await stage.pass_time(13 * HOUR)
        ret = await stage.ret()
        assert (postage(ret, "A1").transit, postage(ret, "A2").transit) == (Transit.IN_TRANSIT, Transit.NEW)
        source.scan(Transit.DELIVERED)
        await stage.pass_time(13 * HOUR)
        assert [note.split(":")[1].split(".")[0] for note in notes(stage, "Parcel delivered")] == [
            " Swift, tracking 1Z-SH1",
            " Swift, tracking 1Z-SH2",
        ]
        calls = source.count("track")
        await stage.inspect(line="1")
        await stage.pass_time(2 * HOUR)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        await stage.inspect(line="2")
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}
        assert source.count("track") == calls  # what has arrived is not asked about any more

    async def test_loop_is_told_of_the_parcel_it_knows(self, open_with):
        """Cases 3 and 4: the label's status is that of the parcel whose number Loop has, never of its sibling."""
        stage, source = await buying(open_with)
        await two_parcels(stage)
        source.scan(Transit.DELIVERED, "A2")
        await stage.pass_time(13 * HOUR)
        await stage.inspect(line="2")
        await stage.pass_time(13 * HOUR)
        assert len(notes(stage, "inspected CAP")) == 1
        assert stage.portal.transits["label-1"] == []
        source.scan(Transit.IN_TRANSIT, "A1")
        await stage.pass_time(13 * HOUR)
        assert stage.portal.transits["label-1"] == [Transit.IN_TRANSIT]

    async def test_a_parcel_that_is_inspected_unscanned_was_delivered(self, open_with):
        """Case 4: a unit of the parcel that Loop knows was processed: the label is delivered, whatever was scanned."""
        stage, _ = await buying(open_with)
        await two_parcels(stage)
        await stage.inspect(line="2")
        await stage.pass_time(13 * HOUR)
        assert stage.portal.transits["label-1"] == []  # that was the other parcel
        await stage.inspect(line="1")
        await stage.pass_time(13 * HOUR)
        assert stage.portal.transits["label-1"] == [Transit.DELIVERED]

    @pytest.mark.parametrize("order", [("1", "2"), ("2", "1")])
    async def test_without_postage_the_first_unit_says_delivered(self, open_with, order):
        """Case 4: in page mode there is no carrier to ask: the first processed unit of the request says delivered."""
        stage = await open_with(policy=PAGE)
        await two_parcels(stage)
        await stage.inspect(line=order[0])
        await stage.pass_time(13 * HOUR)
        await stage.inspect(line=order[1])
        await stage.reach(State.CLOSED)
        assert stage.portal.transits["label-1"] == [Transit.DELIVERED]
        assert isinstance(stage.postage, FakePostage)
        assert stage.postage.calls == []

    async def test_one_amazon_order_is_read_once_for_all_parcels(self, open_with):
        """Case 3: two parcels of one order cost one reading of the order per look."""
        stage, _ = await buying(open_with)
        await two_parcels(stage)
        before = stage.network.count("order")
        await stage.pass_time(12 * HOUR + 60)
        assert stage.network.count("order") == before + 1
        assert stage.network.made("order")[-1].arguments[0] == ORDER
        await stage.pass_time(DAY)
