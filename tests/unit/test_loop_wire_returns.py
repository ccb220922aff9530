from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.loop_returns.wire.returns import read_notes, read_return, read_return_page
from adapters.loop_returns.wire.values import parse
from daemon.domain.portal import PortalLabel, PortalLine, PortalNote, PortalReturn, PortalState
from daemon.domain.returns import Transit
from daemon.errors import ContractBroken

SAMPLES = Path(__file__).parents[1] / "samples" / "loop_returns"
LEAST = {"id": 1, "state": "open", "line_items": []}


def sample(name: str) -> object:
    """Load a sample."""
    return parse((SAMPLES / f"{name}.json").read_bytes(), "sample")


def details(**fields: object) -> PortalReturn:
    """Read details of the least fields and these."""
    return read_return({**LEAST, **fields}, "1")


def line(**fields: object) -> PortalLine:
    """Read one line of these fields."""
    return details(line_items=[{"line_item_id": 5, **fields}]).lines[0]


def test_details_are_read():
    """Every field that mcfd decides on is taken from where details have it; integer ids become text, money cents."""
    assert read_return(sample("return_details"), "58120031") == PortalReturn(
        return_id="58120031",
        state=PortalState.OPEN,
        lines=(
            PortalLine(
                line_id="310045511",
                sku="SOCK-2P-M",
                price_cents=1810,
                reason="Seam came apart",
                parent_reason="Defective",
                grade="grade_d",
                disposition="resale_hold",
            ),
            PortalLine(line_id="310045512", sku="CAP-BLK", price_cents=4520, reason="Too small"),
        ),
        order_name="#20417",
        order_number="19417",
        provider_order_id="6100220033445",
        destination_id="6021",
        submitted_at=1793726438.0,
        has_exchange=False,
        was_processed=False,
        label_urls=("https://mcfd.example.net/labels/5f1c.pdf", "https://mcfd.example.net/labels/77aa.pdf"),
        labels=(
            PortalLabel(
                url="https://mcfd.example.net/labels/5f1c.pdf",
                carrier="Amazon",
                tracking_number="RMA-D7x2example",
                status=Transit.DELIVERED,
                line_ids=("310045511",),
            ),
            PortalLabel(
                url="https://mcfd.example.net/labels/77aa.pdf",
                carrier="Amazon",
                tracking_number="RMA-D7x3example",
                line_ids=("310045512",),
            ),
        ),
    )


def test_a_processed_return_is_read():
    """The time at which the whole was processed tells, when the flag does not."""
    assert read_return(sample("return_details_processed"), "58120036") == PortalReturn(
        return_id="58120036", state=PortalState.CLOSED, lines=(), order_name="#20418", was_processed=True
    )


def test_oddities_are_read():
    """A list with gaps, nulls, empty objects as lists, halves of letters, amounts as numbers, older words."""
    assert read_return(sample("return_details_oddities"), "58120037") == PortalReturn(
        return_id="58120037",
        state=PortalState.REVIEW,
        lines=(
            PortalLine(line_id="310045520", sku="", price_cents=700, grade="grade_b"),
            PortalLine(line_id="310045521", sku="MUG  ", price_cents=-101),
            PortalLine(line_id="310045522", sku="CUP", grade="Odd smell"),
        ),
        order_number="19420",
        provider_order_id="6100220033499",
        submitted_at=1793726438.0,
        label_urls=("https://mcfd.example.net/labels/only.pdf",),
    )


@pytest.mark.parametrize(
    ("told", "at"),
    [
        ("2026-11-03T17:20:38.000Z", 1793726438.0),
        ("2026-11-03 17:20:38", 1793726438.0),
        ({"date": "2026-11-03 17:20:38.000000", "timezone_type": 3, "timezone": "UTC"}, 1793726438.0),
        ("soon", None),
        (None, None),
        ({}, None),
        ([], None),
    ],
)
def test_the_date_of_the_return_is_good_to_know(told, at):
    """One that cannot be read is none: the return is worked on without it."""
    assert details(created_at=told).submitted_at == at


@pytest.mark.parametrize(
    ("flag", "processed"),
    [
        (True, True),
        ("true", True),
        (1, True),
        ("1", True),
        (False, False),
        ("false", False),
        (None, False),
        ({}, False),
    ],
)
def test_was_processed_is_a_flag(flag, processed):
    """Only a plain yes counts."""
    assert details(was_processed=flag).was_processed is processed


@pytest.mark.parametrize(
    ("times", "processed"),
    [
        ({"return_processed": {"date": "2026-11-12 08:10:00.000000"}}, True),
        ({"return_processed": "2026-11-12T08:10:00Z"}, True),
        ({"return_processed": None}, False),
        ({"return_processed": []}, False),
        ({"refund_processed": {"date": "2026-11-12 08:10:00.000000"}, "return_processed": None}, False),
        ({}, False),
        (None, False),
        ([], False),
    ],
)
def test_only_the_whole_return_counts_as_processed(times, processed):
    """A refund alone may leave an exchange owed."""
    assert details(outcomes_processed_at=times, was_processed=False).was_processed is processed


@pytest.mark.parametrize(
    ("fields", "exchange"),
    [
        ({"outcome": "exchange"}, True),
        ({"outcome": "Exchange+refund"}, True),
        ({"outcome": "exchange+credit"}, True),
        ({"outcome": "upsell"}, True),
        ({"outcome": "credit+refund"}, False),
        ({"outcome": None}, False),
        ({"exchanges": [{"exchange_id": "880012"}]}, True),
        ({"exchanges": []}, False),
        ({"exchanges": {}}, False),
        ({"line_items": [{"line_item_id": 1, "exchange_variant": "42000401"}]}, True),
        ({"line_items": [{"line_item_id": 1, "exchange_variant": 42000401}]}, True),
        ({"line_items": [{"line_item_id": 1, "exchange_variant": ""}]}, False),
        ({"line_items": [{"line_item_id": 1, "exchange_variant": None}]}, False),
        ({"line_items": [{"line_item_id": 1, "exchange_variant": "0"}]}, False),
        ({"line_items": [{"line_item_id": 1, "exchange_variant": "N/A"}]}, False),
        ({"exchange": True}, False),
    ],
)
def test_an_exchange_shows_in_three_places(fields, exchange):
    """Its own list, the outcome, or the variant on a line."""
    assert details(**fields).has_exchange is exchange


@pytest.mark.parametrize(
    ("price", "cents"),
    [
        ("63.30", 6330),
        ("0.29", 29),
        (18.1, 1810),
        (7, 700),
        ("12", 1200),
        ("0.005", 1),
        (None, None),
        ("", None),
        ("0.00", 0),
        (" 5.00 ", 500),
    ],
)
def test_money_becomes_cents(price, cents):
    """Decimal text or a number, exactly; a price that is not told is none, and not nothing."""
    assert line(price=price).price_cents == cents


@pytest.mark.parametrize("price", ["NaN", "1e999999999", "1,000.00", "1_0", "x", "٣", True, [], {}, 1e300, "9" * 99])
def test_what_is_no_money_is_broken(price):
    """An amount is never guessed."""
    with pytest.raises(ContractBroken, match=r"^Loop return: line_items\.0\.price is unreadable$"):
        line(price=price)


@pytest.mark.parametrize(
    ("category", "grade"),
    [
        ("grade_a", "grade_a"),
        ({"subject": "s", "title": "Grade A", "grade": "grade_a"}, "grade_a"),
        ({"subject": "s", "title": "Grade A"}, "Grade A"),
        ({}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_a_grade_is_a_word_or_an_object(category, grade):
    """How it reads back is not documented, so both are read."""
    assert line(condition={"condition_category": category}).grade == grade


def test_a_destination_may_be_absent():
    """It is null for returns that go nowhere in particular."""
    assert [details(destination_id=given).destination_id for given in (None, "", [], 6021, "6021")] == [
        "",
        "",
        "",
        "6021",
        "6021",
    ]


def test_label_links_come_once_each():
    """The first label is shown twice by Loop; a label without a link has none."""
    labels = [{"url": "https://x/1"}, {"url": None}, {}, {"url": "https://x/2"}]
    assert details(labels=labels, label_url="https://x/1").label_urls == ("https://x/1", "https://x/2")


@pytest.mark.parametrize("name", ["id", "state", "line_items"])
def test_what_is_needed_is_missed(name):
    """Each needed field is named when it is missing."""
    with pytest.raises(ContractBroken, match=f"^Loop return: {name} is missing$"):
        read_return({key: value for key, value in LEAST.items() if key != name}, "1")


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"line_items": None}, "line_items is unreadable"),
        ({"line_items": {"a": {}}}, "line_items is unreadable"),
        ({"line_items": [{}]}, "line_items.0.line_item_id is missing"),
        ({"line_items": {"0": {"line_item_id": 1}, "3": {}}}, "line_items.1.line_item_id is missing"),
        ({"line_items": [{"line_item_id": "1\x00"}]}, "line_items.0.line_item_id is unreadable"),
        ({"order_name": True}, "order_name is unreadable"),
        ({"destination_id": {"id": 1}}, "destination_id is unreadable"),
        ({"labels": [{"url": []}]}, "labels.0.url is unreadable"),
    ],
)
def test_the_unreadable_field_is_named(fields, place):
    """ContractBroken says where it is and not what it says."""
    with pytest.raises(ContractBroken, match=f"^Loop return: {place}$"):
        details(**fields)


def test_another_return_is_not_taken():
    """An answer about another return of the same order is broken."""
    with pytest.raises(ContractBroken, match="asked for"):
        read_return(LEAST, "2")


def test_a_page_of_returns_is_read():
    """The ids become text, and the next page goes by the cursor as it was spelled."""
    page = read_return_page(sample("returns_page"))
    assert [row.return_id for row in page.rows] == ["58120031", "58120038"]
    assert page.cursor == "ZXhhbXBsZQ%3D%3D"


def test_oddities_of_a_page_are_read():
    """A bare array, ids of both kinds, states nobody knows; rows without an id are passed over."""
    page = read_return_page(sample("returns_page_oddities"))
    assert ([row.return_id for row in page.rows], page.cursor) == (["58120041", "58120042"], "")


def test_a_bare_page_is_the_only_one():
    """Without paging Loop answers a bare array."""
    page = read_return_page([{"id": "7"}])
    assert ([row.return_id for row in page.rows], page.cursor) == (["7"], "")


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        ("https://x/list?cursor=abc&pageSize=1", "abc"),
        ("https://x/list?cursor=a+b/c==#x", "a+b/c=="),
        ("https://x/list?cursor=a%2Bb%3D,c", "a%2Bb%3D,c"),
        ("https://x/list?cursor=a b|c", "a%20b%7Cc"),
        ("https://x/list?cursor=" + "a" * 2001, "a" * 2001),
        ("/list?mycursor=abc&cursor=d", "d"),
        (None, ""),
        ("", ""),
    ],
)
def test_the_cursor_is_taken_as_it_is_spelled(link, cursor):
    """Whatever a cursor is made of, it goes back as it came; only no link at all ends the list."""
    assert read_return_page({"returns": [], "nextPageUrl": link}).cursor == cursor


@pytest.mark.parametrize(
    "link",
    [
        "https://x/list?pageSize=1",
        "https://x/list?cursor=",
        "https://x/list?mycursor=abc",
        "http://[?cursor=a",
        7,
        {"a": 1},
    ],
)
def test_a_next_page_that_cannot_be_asked_for_is_no_last_page(link):
    """Pages that were passed over would be missed for good: the poll must come again."""
    with pytest.raises(ContractBroken, match=r"^Loop returns: nextPageUrl names no cursor$"):
        read_return_page({"returns": [], "nextPageUrl": link})


def test_a_broken_row_does_not_hide_the_others():
    """Rows are hints: what can be read is used."""
    page = read_return_page({"returns": [{"id": None}, {"id": 9}, {"id": 10, "order_name": {}}]})
    assert [row.return_id for row in page.rows] == ["9", "10"]
    with pytest.raises(ContractBroken, match=r"^Loop returns: id is missing$"):
        read_return_page({"returns": [{}]})


@pytest.mark.parametrize("value", [None, {}, {"returns": 7}, "x", {"data": []}])
def test_no_page_is_broken(value):
    """What is not a list names the key that it should be under."""
    with pytest.raises(ContractBroken, match=r"^Loop returns: returns is not a list$"):
        read_return_page(value)


def test_notes_are_read():
    """They are wrapped or bare; a note without words is left out, a line break is a blank."""
    wrapped = sample("notes")
    texts = ["[mcfd a91f0c22] Amazon received 1 of 1. Flagged for review.", "Called the shopper"]
    assert isinstance(wrapped, dict)
    assert [note.text for note in read_notes(wrapped)] == texts
    assert [note.text for note in read_notes(wrapped["notes"])] == texts
    assert read_notes([]) == []
    assert [note.text for note in read_notes(sample("notes_bare"))] == ["[mcfd a91f0c22] aé \u2028b", "7"]
    assert read_notes(
        [{"content": "a", "created_at": "1970-01-01T00:01:00Z"}, {"content": "b", "created_at": "?"}]
    ) == [
        PortalNote(text="a", at=60.0),
        PortalNote(text="b"),
    ]


def test_a_broken_note_is_broken():
    """A list that cannot be searched must not look as if a marker were not in it."""
    with pytest.raises(ContractBroken, match=r"^Loop notes: content is unreadable$"):
        read_notes([{"content": "fine"}, {"content": {}}])
    with pytest.raises(ContractBroken, match=r"^Loop notes: content is missing$"):
        read_notes([{"text": "another name"}])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("state", "line_items", "order_name", "destination_id", "exchanges", "outcomes_processed_at", "labels")
LINE_FIELDS = ("sku", "price", "return_reason", "exchange_variant", "condition", "disposition")


@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values), st.dictionaries(st.sampled_from(LINE_FIELDS), json_values)
)
def test_random_details_are_read_or_refused(fields, line_fields):
    """Any JSON in any field gives a return or ContractBroken, and all its texts can be stored."""
    try:
        read = details(**{"line_items": [{"line_item_id": 5, **line_fields}], **fields})
    except ContractBroken:
        return
    repr(read).encode()
    assert all("\x00" not in text for text in (read.order_name, *(line.sku for line in read.lines)))
