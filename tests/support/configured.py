"""The rules' settings by default, converted from the configuration as the daemon does it."""

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
    """The default clocks, with changes."""
    return replace(_TIMINGS, **changes)


def judgement(**changes: Any) -> VerdictPolicy:
    """The default verdicts and grades, with changes."""
    return replace(_VERDICT, **changes)


def a_policy(**changes: Any) -> ShopPolicy:
    """A shop's default policy, with changes."""
    return ShopPolicy(**{"verdict": _VERDICT, **changes})
