"""What can happen to the bought labels of a return. None of it moves the return; each carries the postage as it is."""

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
    """The wanted service has a rate; the purchase request is saved before it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferLapsed(PostageEvent):
    """The saved offer is too old to be bought; `no_effect` is the call, when it was never made before."""

    no_effect: Duty | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingBought(PostageEvent):
    """A purchase of unknown end has not taken place: it may be made again, by the same handle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageBought(PostageEvent):
    """The label was bought; `postage.printable` says whether it can be printed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFetched(PostageEvent):
    """The label's document is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageSpent(PostageEvent):
    """The bought label can be printed no more; `postage` is the next one, of which nothing is bought yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageVoided(PostageEvent):
    """The unused label was taken back; `pending`: the carrier was asked, and pays later."""

    pending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelUnused(PostageEvent):
    """Nobody has used the label, and nobody will: it is to be given back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageKept(PostageEvent):
    """The label could not be given back: it was used, or the source refused."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelsTracked(Event):
    """The carrier was asked about every parcel under way."""

    postage: tuple[Postage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSourceChanged(Event):
    """The label of a request is made in another way than planned."""

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
