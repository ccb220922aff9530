"""Events of bought labels. None of them changes the return's state; each carries the postage afterwards."""

from dataclasses import dataclass

from daemon.domain.acts import Duty
from daemon.domain.events.returns import Event
from daemon.domain.returns import LabelSourceName, Postage


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageEvent(Event):
    """Something happened to the label of one parcel."""

    postage: Postage


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageOffered(PostageEvent):
    """The wanted service has a rate. The purchase request is saved before it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferLapsed(PostageEvent):
    """The saved offer is too old to be bought. `no_effect` is the purchase call, if it was not made before."""

    no_effect: Duty | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingBought(PostageEvent):
    """An unclear purchase has not taken place: it may be made again with the same handle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageBought(PostageEvent):
    """The label was bought; `postage.printable` says whether it can be printed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFetched(PostageEvent):
    """The label's document was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageSpent(PostageEvent):
    """The bought label cannot be printed again; `postage` is its successor, not yet bought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageVoided(PostageEvent):
    """The unused label was voided. `pending`: the carrier was asked, and refunds later."""

    pending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelUnused(PostageEvent):
    """Nobody has used the label and nobody will, so it is to be voided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageKept(PostageEvent):
    """The label could not be voided: it was used, or the source refused."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelsTracked(Event):
    """The carrier was asked about every travelling parcel."""

    postage: tuple[Postage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSourceChanged(Event):
    """The label of a request comes from another source than planned."""

    request_id: str
    source: LabelSourceName


POSTAGE_EVENTS: frozenset[type[Event]] = frozenset(
    {
        PostageOffered,
        OfferLapsed,
        NothingBought,
        LabelUnused,
        PostageBought,
        LabelFetched,
        PostageSpent,
        PostageVoided,
        PostageKept,
        ParcelsTracked,
        LabelSourceChanged,
    }
)
