"""Part of the composition root: runs the doctor's checks over separate connections.

Separate connections have no cached tokens or parked credentials that could hide a fault. They share the daemon's
limits.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from adapters.easypost.wire.files import is_local
from adapters.host.certificate import read_certificate
from adapters.http.ops_client import TokenRefused
from adapters.loop_returns.client import LoopPortal
from adapters.loop_returns.wire.webhooks import TRIGGERS
from adapters.vendor_calls.transport import Call, Transport, open_session
from daemon import __version__
from daemon.app.accounts import USER_AGENT, connect
from daemon.app.live_config import Current, CurrentAccount
from daemon.app.notifications import nothing, notification_setup, open_queue
from daemon.app.resources import AccountResources, Resources
from daemon.app.vendors import AccountVendors
from daemon.domain.returns import MAIN_ACCOUNT
from daemon.engine.notifications import heard_mark
from daemon.errors import AlreadyRunning, McfdError, NoDatabase, Refused, Unavailable
from daemon.operations.doctor.amazon import (
    AmazonProbe,
    Check,
    Line,
    examine,
    examine_amazon,
    examine_certificate,
    examine_returns,
    examine_store,
    fail,
    ok,
    trouble,
    warn,
)
from daemon.operations.doctor.easypost import EasyPostProbe, examine_easypost
from daemon.operations.doctor.notifications import NotificationProbe, examine_notifications
from daemon.operations.doctor.shop import ShopProbe, examine_shop
from daemon.operations.rekeying import keys_fit
from daemon.operations.verbs.connections import Examined
from daemon.operations.webhooks import Subscriptions
from daemon.ports.host import Clock
from daemon.ports.names import at_account
from daemon.ports.store import Store

ROBOTS = b"User-agent: *\nDisallow: /\n"
FORWARDED = "let the reverse proxy forward /webhooks/loop/, /labels/, /oauth/ and /robots.txt to listen.public"


class Checkup:
    """One run of the doctor. `resources` is None if the store cannot be opened; `problem` then says why.

    The accounts of `resources` are examined, and with `general` what they share.
    """

    def __init__(
        self,
        current: Current,
        clock: Clock,
        *,
        resources: Resources | None = None,
        running: bool = False,
        problem: McfdError | None = None,
        general: bool = True,
    ) -> None:
        self._current = current
        self._clock = clock
        self._resources = resources
        self._running = running
        self._problem = problem
        self._general = general
        self._skews: dict[str, float] = {}

    async def run(self) -> Examined:
        """Examine everything; see `doctor.examine`."""
        async with AsyncExitStack() as stack:
            vendors = await connect(
                stack,
                self._current,
                self._clock,
                self._compare_clocks,  # the doctor's calls are not counted as the daemon's
                refresh_token=self._refresh_token,
                sharing=self._resources.vendors if self._resources else None,
            )
            session = await stack.enter_async_context(open_session(USER_AGENT))
            transport = Transport(session, vendor="public_url", timeout=10.0, on_call=lambda _call: None)
            subscriptions = Subscriptions(
                vendors.portals, public_url=self._current.settings.public_url, triggers=TRIGGERS
            )
            shops: list[Check] = [
                partial(examine_shop, self._shop(name, portal), subscriptions, self._store, self._clock)
                for name, portal in vendors.portals.items()
                if f"loop_api_key.{name}" not in self._current.absent
            ]
            checks = [*(check for one in vendors.accounts.values() for check in self._of_account(one)), *shops]
            if self._general:
                shared: list[Check] = [partial(self._public, transport), self._certificate, self._stored]
                checks = [self._daemon, self._absent, *checks, *shared]
            return await examine(checks, self._skews)

    @property
    def _store(self) -> Store | None:
        return self._resources.store if self._resources else None

    def _refresh_token(self, account: str) -> Callable[[], str | None]:
        if self._resources is not None:
            return self._resources.accounts[account].tokens.current
        return self._current.accounts[account].refresh_token

    def _compare_clocks(self, _account: str, call: Call) -> None:
        """By how many seconds our clock is ahead of the vendor's."""
        if (at := call.answered_at) is not None:
            self._skews[call.vendor] = self._clock.now() - at

    def _of_account(self, vendors: AccountVendors) -> Iterator[Check]:
        """What is checked of one account; lines of other accounts than the main one bear its name."""
        account = self._current.accounts[vendors.name]
        if account.client_secrets:
            yield _named(
                account.name, partial(examine_amazon, self._amazon(account, vendors), self._store, self._clock)
            )
        yield _named(account.name, partial(self._notifications, account, vendors))
        yield _named(account.name, partial(examine_easypost, self._easypost(account, vendors)))

    def _own(self, account: CurrentAccount) -> AccountResources | None:
        return self._resources.accounts[account.name] if self._resources else None

    def _amazon(self, account: CurrentAccount, vendors: AccountVendors) -> AmazonProbe:
        amazon, own = account.settings.amazon, self._own(account)
        return AmazonProbe(
            account=account.name,
            tokens=vendors.tokens,
            network=vendors.network,
            marketplace=amazon.marketplace_id,
            country=amazon.country,
            token_source="secret file" if account.refresh_token() else "`mcfd authorize amazon`",
            secret_days=own.ages.secret_days() if own else float("nan"),
            authorization_days=own.ages.authorization_days() if own else float("nan"),
            buys_labels=account.label_source == "amazon_shipping",
            has_service_id=amazon.return_service_id_in_use(account.secrets) is not None,
            page_wanted=amazon.label_source == "rma_page",
            holds=amazon.on_service_not_offered == "hold",
        )

    async def _notifications(self, account: CurrentAccount, vendors: AccountVendors) -> Sequence[Line]:
        """Check the notifications; nothing to check while no queue is configured."""
        section, store, own = account.settings.amazon.notifications, self._store, self._own(account)
        if section.queue_url is None:
            return []
        heard = await store.read(lambda uow: uow.mark(heard_mark(account.name))) if store else None
        queue = await open_queue(account, section.queue_url)
        try:
            probe = NotificationProbe(
                account=account.name,
                waiting=queue.waiting,
                setup=notification_setup(account, vendors, lambda _ids: nothing()),
                last=float(heard) if heard else None,
                now=self._clock.now(),
                secret_unfiled=own is not None and own.client_secrets.only_here,
            )
            return await examine_notifications(probe)
        finally:
            await queue.close()

    def _easypost(self, account: CurrentAccount, vendors: AccountVendors) -> EasyPostProbe | None:
        settings, secrets = account.settings, account.secrets
        used = "easypost" in {settings.label_source_of(shop, secrets) for shop in settings.shops}
        if vendors.easypost is None or not used:
            return None
        chosen = settings.easypost
        return EasyPostProbe(source=vendors.easypost, accounts=chosen.carrier_accounts, local=is_local(chosen.api_url))

    def _shop(self, name: str, portal: LoopPortal) -> ShopProbe:
        return ShopProbe(
            shop=name,
            portal=portal,
            destinations=self._current.settings.shops[name].destinations,
            has_webhook_secret=bool(self._current.webhook_secrets(name)),
            refused=self._resources.vendors.portals[name].parked_scopes if self._resources else (),
        )

    async def _daemon(self) -> Sequence[Line]:
        ops = self._current.settings.listen.ops
        match self._problem:
            case TokenRefused():
                return [fail("daemon", "ops token", str(self._problem), "")]
            case AlreadyRunning(holder=holder):
                text = f"mcfd runs{holder}, but not at listen.ops {ops.url}"
                return [fail("daemon", "process", text, "restart it, or name its --config")]
        if self._running:
            return [ok("daemon", "process", f"mcfd {__version__} runs")]
        return [warn("daemon", "process", "it does not run", "start it: `systemctl start mcfd`, or `mcfd run`")]

    async def _absent(self) -> Sequence[Line]:
        """Missing secrets, each under its purpose."""
        lines = []
        for name, todo in self._current.absent.items():
            kind, _, owner = name.partition(".")
            area = owner if kind == "loop_api_key" else at_account("amazon", owner or MAIN_ACCOUNT)
            lines.append(fail(area, kind.replace("_", " "), f"the secret file {name} is not there yet", todo))
        return lines

    async def _stored(self) -> Sequence[Line]:
        match self._problem:
            case AlreadyRunning() | TokenRefused():  # the daemon has opened it
                return []
            case NoDatabase():
                return [warn("store", "file", "there is no database yet", "the first start of mcfd makes it")]
        if self._resources is None:
            return [fail("store", "file", str(self._problem), "")]
        shops = self._current.settings.shops
        return [
            *await examine_store(self._resources.store),
            await self._keys(self._resources),
            *await examine_returns(self._resources.store, shops),
        ]

    async def _keys(self, resources: Resources) -> Line:
        if await keys_fit(resources.store, resources.vault):
            return ok("store", "vault keys", "they open what is kept")
        todo = "put it back below the new one; if it is lost, `mcfd purge --rekey` tells how much is lost with it"
        return fail("store", "vault keys", "they lack the key that the store was sealed under", todo)

    async def _public(self, transport: Transport) -> Sequence[Line]:
        """Reach ourselves through the internet, the proxy and its TLS, as Loop and shoppers do."""
        url = self._current.settings.public_url
        try:
            reply = await transport.send("GET", f"{url}/robots.txt", operation="GET /robots.txt")
        except Unavailable as error:
            return [self._unreachable(url, error)]
        except McfdError as error:
            return [trouble("public_url", "reach", error, "check public_url and the reverse proxy")]
        if reply.status != 200 or reply.body != ROBOTS or reply.header("X-Robots-Tag") != "noindex":
            text = f"something else answers at {url} (status {reply.status})"
            return [fail("public_url", "reach", text, FORWARDED)]
        return [ok("public_url", "reach", f"{url} answers as mcfd")]

    async def _certificate(self) -> Sequence[Line]:
        url = urlsplit(self._current.settings.public_url)
        if url.scheme != "https":
            return []
        try:
            shown = await read_certificate(url.hostname or "", url.port or 443, timeout=10.0)
        except Refused as error:
            todo = "put the right certificate, with its chain, into the reverse proxy: Loop delivers to no other"
            return [fail("public_url", "certificate", error.message, todo)]
        except Unavailable:  # reported as unreachable
            return []
        return [examine_certificate(shown.begins, shown.ends, self._clock.now())]

    def _unreachable(self, url: str, error: Unavailable) -> Line:
        text = f"{url}: {error}"
        if not self._running and "TLS" not in text and "resolve" not in text:
            return warn("public_url", "reach", text, "start mcfd and ask again")
        todo = "check DNS, the certificate, the firewall and the reverse proxy in front of listen.public"
        return fail("public_url", "reach", text, todo)


def _named(account: str, check: Check) -> Check:
    async def named() -> Sequence[Line]:
        return [replace(line, area=at_account(line.area, account)) for line in await check()]

    return named
