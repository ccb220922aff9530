"""The table of all verbs, used by the command line, the operator's HTTP API and its description."""

from typing import Any

from daemon.operations.verb import Verb
from daemon.operations.verbs import (
    adoption,
    calls,
    connections,
    insights,
    keeping,
    notifications,
    renaming,
    returns,
    search,
    settings,
    trends,
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (
    *returns.VERBS,
    *search.VERBS,
    *trends.VERBS,
    *calls.VERBS,
    *insights.VERBS,
    *adoption.VERBS,
    *connections.VERBS,
    *notifications.VERBS,
    *keeping.VERBS,
    *renaming.VERBS,
    *settings.VERBS,
)

GROUPS = {
    "webhooks": "Look at Loop's webhook subscriptions, and put them right.",
    "notifications": "Look at Amazon's notifications, and put them right.",
    "notify": "Tell people what waits for them.",
    "rename": "Follow a new name of a shop or an account in the configuration.",
    "settings": "Give credentials and map reasons without a file.",
    "authorize": "Let mcfd into a vendor's account.",
}
"""The help for the first word of two-word verbs."""
