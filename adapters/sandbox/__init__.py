"""Stand-ins for Amazon and Loop that speak the same HTTP, written from the vendors' pages alone."""

from adapters.sandbox.faults import Fault
from adapters.sandbox.loop_returns import ReturnLine
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import ControlError
from adapters.sandbox.sandbox import Sandbox
from adapters.sandbox.shipping_rates import ServiceOffer

__all__ = ["ControlError", "Fault", "ReturnLine", "Sandbox", "SandboxOptions", "ServiceOffer"]
