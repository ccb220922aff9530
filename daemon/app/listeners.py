"""Part of the composition root: opens the listeners."""

import errno
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from adapters.easypost.webhooks import EasyPostWebhooks
from adapters.host.metrics import PrometheusMetrics
from adapters.http.consent import ConsentPages
from adapters.http.ops import Application, OpsListener, Probe, WatchListener
from adapters.http.public import Allowance, PublicListener, Route
from adapters.loop_returns.webhooks import LoopWebhooks
from adapters.loop_returns.wire.webhooks import WebhookDelivery, decode_delivery, digest
from daemon.app.live_config import Current
from daemon.app.verbs import Answering, description
from daemon.engine.intake import Intake
from daemon.engine.label_hosting import LabelHosting
from daemon.engine.notifications import Notifications
from daemon.errors import McfdError, OperatorError
from daemon.operations.authorization import CALLBACK, START, Authorization
from daemon.operations.dead_letters import Offer, Taken
from daemon.operations.notifications import AMAZON_LETTERS
from daemon.operations.renaming import Former
from daemon.ports.host import Clock, SecretBox
from daemon.ports.sealed import dead_letter
from daemon.ports.store import DeadLetter, Delivery


async def open_public(
    current: Current,
    intake: Intake,
    hosting: LabelHosting,
    authorization: Authorization,
    *,
    box: SecretBox,
    clock: Clock,
    metrics: PrometheusMetrics,
    former: Former,
) -> PublicListener:
    """The listener that the internet reaches; webhooks also come to `former` names. Raises CannotListen."""
    shops = {**former["shop"], **{shop: shop for shop in current.settings.shops}}

    def answered(shop: str, outcome: str, seconds: float) -> None:
        metrics.webhook(shops.get(shop, shop), outcome, clock.now())
        metrics.webhook_answered(seconds)

    scans = {
        name: EasyPostWebhooks(
            secrets=one.easypost_webhook_secrets, parcel_changed=partial(intake.parcel_changed, name)
        )
        for name, one in current.accounts.items()
        if one.easypost_api_key()
    }
    listener = PublicListener(
        receiver=_ByNewName(_receiver(current, intake, box, clock), shops),
        parcels={old: scans[new] for old, new in former["account"].items() if new in scans} | scans,
        labels=hosting,
        shops=frozenset(shops),
        clock=clock,
        extra_routes=_consent_routes(authorization, current.settings.public_url),
        on_webhook=answered,
        on_label=metrics.label_fetched,
        on_turned_away=metrics.turned_away,
    )
    address = current.settings.listen.public
    with telling(f"listen.public {address}", "change the key"):
        await listener.start(address.host, address.port)
    return listener


@dataclass(frozen=True)
class _ByNewName:
    """Hears deliveries to a shop's former name as the shop's."""

    receiver: LoopWebhooks
    shops: Mapping[str, str]

    async def receive(self, shop: str, signature: str | None, body: bytes) -> str:
        """Pass the delivery on."""
        return await self.receiver.receive(self.shops[shop], signature, body)


def _consent_routes(authorization: Authorization, public_url: str) -> tuple[Route, ...]:
    path = urlsplit(public_url).path + CALLBACK  # the path that the browser sees: a proxy may strip its prefix
    pages = ConsentPages(authorization, callback_path=path, secure=public_url.startswith("https://"))
    return Route("GET", START, pages.start), Route("GET", CALLBACK, pages.callback)


async def open_ops(
    current: Current,
    verbs: Mapping[str, Answering],
    metrics: PrometheusMetrics,
    *,
    health: Probe,
    ready: Probe,
    pages: Mapping[str, Application],
) -> OpsListener:
    """The listener for operators on this machine. Raises CannotListen."""
    token = current.secrets.ops_token.get_secret_value()
    listener = OpsListener(
        render=metrics.render, health=health, ready=ready, verbs=verbs, describe=description, token=token, pages=pages
    )
    address = current.settings.listen.ops
    with telling(f"listen.ops {address}", "change the key"):
        await listener.start(address.host, address.port)
    return listener


async def open_metrics(
    current: Current, metrics: PrometheusMetrics, *, health: Probe, ready: Probe
) -> WatchListener | None:
    """The listener for a Prometheus on another host, if configured. Raises CannotListen."""
    address = current.settings.listen.metrics
    if address is None:
        return None
    listener = WatchListener(render=metrics.render, health=health, ready=ready)
    with telling(f"listen.metrics {address}", "change the key"):
        await listener.start(address.host, address.port)
    return listener


class CannotListen(McfdError):
    """The address cannot be bound; it may be free again soon."""


@contextmanager
def telling(where: str, otherwise: str) -> Iterator[None]:
    """Explain in words why an address cannot be bound."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason = {
            errno.EADDRINUSE: "the port is taken; stop the other program, or",
            errno.EADDRNOTAVAIL: "is no address of this machine;",
            errno.EACCES: "mcfd's user may not open this port;",
        }.get(number, f"cannot be listened at ({error.strerror});")
        unknown = "the host is not known here;"  # getaddrinfo's error numbers are negative
        raise CannotListen(f"{where}: {unknown if number < 0 else reason} {otherwise}") from error


def offering(current: Current, intake: Intake, news: Notifications) -> Offer:
    """The function that offers a dead letter to the intake again, as if Loop or Amazon had just delivered it."""
    take = _taking(intake)

    async def offer(shop: str, body: bytes, received_at: float) -> Taken:
        if shop == AMAZON_LETTERS:
            await news.hear_again(body)
            return Taken("", fresh=True)
        if shop not in current.settings.shops:
            raise OperatorError(f"the shop {shop} is not configured")
        delivery = decode_delivery(body)
        return Taken(delivery.return_id, await take(shop, delivery, digest(delivery, body), received_at))

    return offer


def _taking(intake: Intake) -> Callable[[str, WebhookDelivery, str, float], Awaitable[bool]]:
    async def take(shop: str, delivery: WebhookDelivery, name: str, now: float) -> bool:
        row = Delivery(
            shop=shop,
            topic=delivery.topic,
            trigger=delivery.trigger,
            subject=delivery.subject,
            return_id=delivery.return_id,
            digest=name,
            received_at=now,
        )
        return await intake.deliver(row, delivery.message)

    return take


def _receiver(current: Current, intake: Intake, box: SecretBox, clock: Clock) -> LoopWebhooks:
    async def bury(shop: str, body: bytes, reason: str) -> None:
        sealed = box.seal(body, dead_letter(shop))
        name = hashlib.sha256(body).hexdigest()
        await intake.keep_dead_letter(
            DeadLetter(shop=shop, digest=name, reason=reason, sealed=sealed, received_at=clock.now())
        )

    return LoopWebhooks(
        secrets=current.webhook_secrets,
        intake=_taking(intake),
        dead_letters=bury,
        clock=clock,
        may_encode=Allowance(clock, burst=5).spend,
    )
