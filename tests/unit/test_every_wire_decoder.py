"""Whatever is sent, each decoder of all wires makes a value of it or says that it cannot."""

import copy
import importlib
import inspect
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.errors import ContractBroken, Refused, Transient

TESTS = Path(__file__).parents[1]
ADAPTERS = TESTS.parent / "adapters"
WIRES = {
    "amazon_mcf": ("notifications", "outbound", "shipping", "subscriptions", "tracking"),
    "easypost": ("accounts", "errors", "shipments", "trackers", "webhooks"),
    "loop_returns": ("labels", "returns", "setup", "webhooks"),
}
SAMPLES = {vendor: sorted((TESTS / "samples" / vendor).glob("*.json")) for vendor in WIRES}
HELPERS = {"read_hints"}
"""Parts of decoders, imported from wire.values."""


NO_DECODERS = {"journal", "__init__", "envelope", "errors", "files", "shipment", "values", "writes"}
"""What wires are made of, and what only writes."""


def decoders() -> list:
    """Find every function that reads what a vendor sent."""
    found = []
    for vendor, names in WIRES.items():
        for name in names:
            module = importlib.import_module(f"adapters.{vendor}.wire.{name}")
            found += [
                pytest.param(vendor, function, id=f"{vendor}.{label}")
                for label, function in vars(module).items()
                if label.startswith(("decode_", "read_")) and label not in HELPERS and inspect.isfunction(function)
            ]
    return found


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", " ", "0", "N/A", "NaN", "1e999", "2026-13-01", "\ud800", "\x00", "New", 10**400, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spoilt(draw, vendor: str):
    """Take a recorded answer and replace, remove or add something somewhere in it."""
    document = copy.deepcopy(json.loads(draw(st.sampled_from(SAMPLES[vendor])).read_text()))
    for _ in range(draw(st.integers(0, 3))):
        place, node = None, document
        while isinstance(node, dict | list) and node and draw(st.integers(0, 4)):
            place = node
            key = draw(st.sampled_from(sorted(node))) if isinstance(node, dict) else draw(st.integers(0, len(node) - 1))
            node = node[key]
        if place is None:
            document = draw(st.just(document) | junk)
        elif draw(st.booleans()):
            place[key] = draw(junk)
        else:
            del place[key]
    return document


def arguments(function, document, data) -> dict:
    """Make the arguments by their names."""
    made = {
        "operation": lambda: "operation",
        "status": lambda: data.draw(st.sampled_from([200, 201, 400, 404, 409, 500])),
        "body": lambda: data.draw(st.just(json.dumps(document).encode()) | st.binary(max_size=40)),
        "private": lambda: ("Rowan Pike",),
        "service_id": lambda: "std-us-swa-mfn",
        "currency": lambda: "USD",
        "value": lambda: document,
        "asked": lambda: "58120031",
        "return_id": lambda: "58120031",
        "location": lambda: data.draw(st.none() | st.just("/labels/7") | st.text(max_size=20)),
    }
    return {name: made[name]() for name in inspect.signature(function).parameters}


@pytest.mark.parametrize(("vendor", "function"), decoders())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_decoder_never_crashes(vendor, function, data):
    """An answer with anything in the place of anything is a value, or an error of ours that shows none of it."""
    given = arguments(function, data.draw(spoilt(vendor)), data)
    allowed = (ContractBroken,) if vendor == "loop_returns" else (ContractBroken, Refused, Transient)
    said = ""
    try:
        function(**given)
    except allowed as error:
        said = str(error)
    assert said.isprintable()


def test_every_wire_is_here():
    """A new module of a wire that reads answers is found by the test above."""
    for vendor, names in WIRES.items():
        modules = {path.stem for path in (ADAPTERS / vendor / "wire").glob("*.py")}
        assert modules - set(names) <= NO_DECODERS


def test_every_sample_is_read_by_name():
    """No recorded answer lies about unread."""
    text = "".join(path.read_text() for path in (TESTS / "unit").glob("test_*wire*.py"))
    for vendor in WIRES:
        names = {path.name: (path.name, path.stem, path.stem.removeprefix("webhook_")) for path in SAMPLES[vendor]}
        assert [name for name, said in names.items() if not any(f'"{word}"' in text for word in said)] == []
