"""The part of the composition root that opens both listeners."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping

from adapters.loop_returns.webhooks import LoopWebhooks, message_of
from adapters.loop_returns.wire_webhooks import WebhookDelivery
from adapters.metrics import PrometheusMetrics
from adapters.ops_http import OpsListener
from adapters.public_http import PublicListener
from config.load import Loaded
from daemon.hosting import LabelHosting
from daemon.intake import Intake
from daemon.operator import Operator
from daemon.ports import Clock, DeadLetter, Delivery, SecretBox

Probe = Callable[[], Awaitable[Mapping[str, str]]]


async def open_public(
    loaded: Loaded, intake: Intake, hosting: LabelHosting, *, box: SecretBox, clock: Clock, metrics: PrometheusMetrics
) -> PublicListener:
    """The listener that the internet reaches. Raises OSError when its port is taken."""

    def answered(shop: str, outcome: str, seconds: float) -> None:
        metrics.webhook(shop, outcome, clock.now())
        metrics.webhook_answered(seconds)

    listener = PublicListener(
        receiver=_receiver(loaded, intake, box, clock),
        labels=hosting,
        shops=frozenset(loaded.settings.shops),
        clock=clock,
        on_webhook=answered,
    )
    await listener.start(loaded.settings.listen.public.host, loaded.settings.listen.public.port)
    return listener


async def open_ops(
    loaded: Loaded, operator: Operator, metrics: PrometheusMetrics, *, health: Probe, ready: Probe
) -> OpsListener:
    """The listener for operators on this machine. Raises OSError when its port is taken."""
    token = loaded.secrets.ops_token.get_secret_value()
    listener = OpsListener(render=metrics.render, health=health, ready=ready, verbs=operator.verbs(), token=token)
    await listener.start(loaded.settings.listen.ops.host, loaded.settings.listen.ops.port)
    return listener


def _receiver(loaded: Loaded, intake: Intake, box: SecretBox, clock: Clock) -> LoopWebhooks:
    webhook_secrets = loaded.secrets.loop_webhook_secrets

    async def take(shop: str, delivery: WebhookDelivery, digest: str, now: float) -> bool:
        row = Delivery(
            shop=shop,
            topic=delivery.topic,
            trigger=delivery.trigger,
            subject=delivery.subject,
            return_id=delivery.return_id,
            digest=digest,
            received_at=now,
        )
        return await intake.deliver(row, message_of(delivery))

    async def bury(shop: str, body: bytes, reason: str) -> None:
        sealed = box.seal(body, f"dead letter of {shop}")
        digest = hashlib.sha256(body).hexdigest()
        await intake.keep_dead_letter(
            DeadLetter(shop=shop, digest=digest, reason=reason, sealed=sealed, received_at=clock.now())
        )

    def secrets_of(shop: str) -> list[bytes] | None:
        secrets = webhook_secrets.get(shop)
        return None if secrets is None else [secret.get_secret_value().encode() for secret in secrets]

    return LoopWebhooks(secrets=secrets_of, intake=take, dead_letters=bury, clock=clock)
