"""What the rules are told of a configuration that changes nothing: its defaults, as the daemon hands them on."""

from dataclasses import fields, replace
from typing import Any

from config.model import Timings as ConfiguredTimings
from config.shop import Shop
from daemon.app.policies import verdict_policy
from daemon.domain.policy import ShopPolicy
from daemon.domain.schedule import Timings
from daemon.domain.verdict import VerdictPolicy

_CONFIGURED = ConfiguredTimings()
_TIMINGS = Timings(**{field.name: getattr(_CONFIGURED, field.name) for field in fields(Timings)})
_VERDICT = verdict_policy(Shop())


def clocks(**changes: float) -> Timings:
    """The clocks, some of them changed."""
    return replace(_TIMINGS, **changes)


def judgement(**changes: Any) -> VerdictPolicy:
    """What findings count as and how they are graded, some of it changed."""
    return replace(_VERDICT, **changes)


def a_policy(**changes: Any) -> ShopPolicy:
    """A shop's choices."""
    return ShopPolicy(**{"verdict": _VERDICT, **changes})
