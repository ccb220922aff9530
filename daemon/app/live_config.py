"""The configuration in effect. Values that a reload can change are read from here at each use."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from config.load import Loaded
from config.model import SellerAccount, Settings
from config.secret_files import AccountSecrets, Secrets, filed_value, with_kept
from daemon.app.policies import shop_policy
from daemon.domain.policy import ShopPolicy
from daemon.errors import CredentialsRefused

KeptReasons = Mapping[str, Mapping[tuple[str, str], str]]
"""By shop: codes by folded (parent, reason)."""


class CurrentAccount:
    """The part of one account; `client_secrets` are those to try, and keep their identity."""

    def __init__(self, name: str, whole: "Current") -> None:
        self.name = name
        self._whole = whole
        self._kept_client_secrets: tuple[str, ...] = ()
        self.client_secrets = self.filed_client_secrets()

    @property
    def settings(self) -> SellerAccount:
        """The account's sections."""
        return self._whole.settings.accounts[self.name]

    @property
    def secrets(self) -> AccountSecrets:
        """The account's secret files."""
        return self._whole.secrets.accounts[self.name]

    @property
    def label_source(self) -> str:
        """The account's usual label source."""
        return self.settings.amazon.label_source_in_use(self.secrets)

    def policy(self, shop: str) -> ShopPolicy:
        """The policy of one of the account's shops."""
        policy = shop_policy(shop, self.settings, self.secrets)
        kept = self._whole.kept_reasons.get(shop)
        return replace(policy, reasons={**kept, **policy.reasons}) if kept else policy

    def filed_client_secrets(self) -> list[str]:
        """The client secrets of the secret file, newest first."""
        return [secret.get_secret_value() for secret in self.secrets.amazon_client_secrets]

    def use_client_secrets(self, kept: Sequence[str]) -> None:
        """Try these before those of the secret file; duplicates are skipped."""
        self._kept_client_secrets = tuple(kept)
        filed = self.filed_client_secrets()
        self.client_secrets[:] = [*(secret for secret in kept if secret not in filed), *filed]

    def read_again(self) -> None:
        """Take over client secrets that have changed in the file."""
        self.use_client_secrets(self._kept_client_secrets)

    def easypost_api_key(self) -> str:
        """The key of the EasyPost account; "" when there is none."""
        key = self.secrets.easypost_api_key
        return key.get_secret_value() if key else ""

    def easypost_webhook_secrets(self) -> list[str]:
        """The secrets of EasyPost's webhook, newest first."""
        return [secret.get_secret_value() for secret in self.secrets.easypost_webhook_secrets]

    def refresh_token(self) -> str | None:
        """The content of the secret file amazon_refresh_token."""
        token = self.secrets.amazon_refresh_token
        return token.get_secret_value() if token else None


class Current:
    """Has the attributes of a Loaded; `take` replaces them. The accounts are those of the start."""

    def __init__(self, loaded: Loaded) -> None:
        self.settings = loaded.settings
        self.filed = self.secrets = loaded.secrets
        self._kept: Mapping[str, str] = {}
        self._at_start: Mapping[str, str] = {}
        self.kept_reasons: KeptReasons = {}
        self.warnings = loaded.warnings
        self._absent = loaded.absent
        self.accounts: Mapping[str, CurrentAccount] = {
            name: CurrentAccount(name, self) for name in loaded.settings.accounts
        }

    def take(self, settings: Settings, secrets: Secrets) -> None:
        """Replace settings and the secrets of the files."""
        self.settings, self.filed = settings, secrets
        self._merge()

    def begin_with(self, kept: Mapping[str, str], reasons: KeptReasons) -> None:
        """Use what the store keeps, before anything is opened with it."""
        self._at_start = kept
        self.keep(kept, reasons)

    def keep(self, kept: Mapping[str, str], reasons: KeptReasons) -> None:
        """Use what the store keeps now, as far as that needs no restart."""
        self.kept_reasons = reasons
        live = {name: text for name, text in kept.items() if self.is_live(name)}
        self._kept = live | {name: text for name, text in self._at_start.items() if not self.is_live(name)}
        self._merge()

    def is_live(self, name: str) -> bool:
        """Whether a kept secret is used without a restart: whoever buys labels is opened at the start."""
        kind = name.partition(".")[0]
        opened = name in self._at_start or bool(filed_value(self.filed, name))
        return kind != "amazon_return_service_id" and (kind != "easypost_api_key" or opened)

    def _merge(self) -> None:
        self.secrets = with_kept(self.filed, self._kept)
        for account in self.accounts.values():
            account.read_again()

    @property
    def absent(self) -> Mapping[str, str]:
        """Credentials of vendors that neither a file nor the store has, with what to do."""
        return {name: todo for name, todo in self._absent.items() if not filed_value(self.secrets, name)}

    def policy(self, shop: str) -> ShopPolicy | None:
        """The policy of a shop; None if it is not configured."""
        account = self.settings.account_of.get(shop)
        return self.accounts[account].policy(shop) if account is not None else None

    def loop_api_key(self, shop: str) -> str:
        """The API key of a shop. Raises CredentialsRefused if there is none."""
        if missing := self.missing_key(shop):
            raise CredentialsRefused(missing)
        return self.secrets.loop_api_keys[shop].get_secret_value()

    def missing_key(self, shop: str) -> str:
        """Why Loop cannot be called for a shop: nobody has given its key yet; empty if somebody has."""
        if shop in self.secrets.loop_api_keys:
            return ""
        return (
            f"there is no API key: write the file loop_api_key.{shop}, or run `mcfd settings set loop_api_key.{shop}`"
        )

    def webhook_secrets(self, shop: str) -> list[bytes]:
        """The webhook secrets of a shop, newest first."""
        return [secret.get_secret_value().encode() for secret in self.secrets.loop_webhook_secrets[shop]]

    def store_password(self) -> str | None:
        """The password of store.url; None leaves it to libpq."""
        password = self.secrets.store_password
        return password.get_secret_value() if password else None
