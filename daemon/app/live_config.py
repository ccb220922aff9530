"""The configuration in effect. Values that a reload can change are read from here at each use."""

from collections.abc import Sequence

from config.load import Loaded
from config.model import Settings
from config.secret_files import Secrets


class Current:
    """Has the attributes of a Loaded; `take` replaces them."""

    def __init__(self, loaded: Loaded) -> None:
        self.settings = loaded.settings
        self.secrets = loaded.secrets
        self.warnings = loaded.warnings
        self.absent = loaded.absent
        self._kept_client_secrets: tuple[str, ...] = ()
        self.client_secrets = self.filed_client_secrets()

    def take(self, settings: Settings, secrets: Secrets) -> None:
        """Replace settings and secrets; the list of client secrets keeps its identity."""
        self.settings, self.secrets = settings, secrets
        self.use_client_secrets(self._kept_client_secrets)

    def filed_client_secrets(self) -> list[str]:
        """The client secrets of the secret file, newest first."""
        return [secret.get_secret_value() for secret in self.secrets.amazon_client_secrets]

    def use_client_secrets(self, kept: Sequence[str]) -> None:
        """Try these before those of the secret file; duplicates are skipped."""
        self._kept_client_secrets = tuple(kept)
        filed = self.filed_client_secrets()
        self.client_secrets[:] = [*(secret for secret in kept if secret not in filed), *filed]

    def loop_api_key(self, shop: str) -> str:
        """The API key of a shop."""
        return self.secrets.loop_api_keys[shop].get_secret_value()

    def webhook_secrets(self, shop: str) -> list[bytes]:
        """The webhook secrets of a shop, newest first."""
        return [secret.get_secret_value().encode() for secret in self.secrets.loop_webhook_secrets[shop]]

    def easypost_api_key(self) -> str:
        """The key of the EasyPost account; "" when there is none."""
        key = self.secrets.easypost_api_key
        return key.get_secret_value() if key else ""

    def easypost_webhook_secrets(self) -> list[str]:
        """The secrets of EasyPost's webhook, newest first."""
        return [secret.get_secret_value() for secret in self.secrets.easypost_webhook_secrets]

    def store_password(self) -> str | None:
        """The password of store.url; None leaves it to libpq."""
        password = self.secrets.store_password
        return password.get_secret_value() if password else None

    def refresh_token(self) -> str | None:
        """The content of the secret file amazon_refresh_token."""
        token = self.secrets.amazon_refresh_token
        return token.get_secret_value() if token else None
