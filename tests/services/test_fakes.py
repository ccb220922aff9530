"""The fakes keep what the ports promise: every method, with the same arguments."""

import inspect

import pytest

from daemon.ports import host, store, vendors
from tests.support.fakes import FakeNetwork, FakePortal, FakePostage, RecordingMetrics, WatchedStore

FAKES = {
    vendors.ReturnsPortal: FakePortal,
    vendors.FulfillmentNetwork: FakeNetwork,
    vendors.LabelSource: FakePostage,
    host.Metrics: RecordingMetrics,
    store.ReturnStore: WatchedStore,
}


@pytest.mark.parametrize("port", FAKES)
def test_a_fake_has_every_method_of_its_port(port):
    """A port that grows makes its fake fail here, and not somewhere in the middle of a life."""
    promised = {name: method for name, method in vars(port).items() if not name.startswith("_") and callable(method)}

    assert promised
    for name, method in promised.items():
        kept = getattr(FAKES[port], name, None)
        assert kept is not None, name
        assert list(inspect.signature(kept).parameters) == list(inspect.signature(method).parameters), name
        assert inspect.iscoroutinefunction(kept) == inspect.iscoroutinefunction(method), name
