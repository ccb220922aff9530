"""Stand-ins for Amazon, Loop and EasyPost that speak the same HTTP, written from the vendors' pages alone."""

from adapters.sandbox.amazon.rates import ServiceOffer
from adapters.sandbox.amazon.shipping import ParcelStatus
from adapters.sandbox.faults import Fault
from adapters.sandbox.loop.returns import ReturnLine
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import ControlError
from adapters.sandbox.sandbox import Sandbox

__all__ = ["ControlError", "Fault", "ParcelStatus", "ReturnLine", "Sandbox", "SandboxOptions", "ServiceOffer"]
