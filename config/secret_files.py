"""Reads secret files, one per secret, from a directory. No message of this module shows any of their text."""

import base64
import binascii
import stat
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr

from config.fields import check_printable
from daemon.domain.returns import MAIN_ACCOUNT

SYSTEMD_PREFIX = "mcfd_"  # LoadCredential=mcfd:/etc/mcfd/secrets puts it in front of each file name
NOTIFY = "notify_"
LARGEST = 64 * 1024
SHORT_TOKEN = 16

_AWS_KEY = ("aws_access_key_id", "aws_secret_access_key")

_ABSENT = {  # what to do, or what it means, when the file is missing
    "amazon_client_secret": "write the LWA client secret of the application into it",
    "amazon_refresh_token": "Amazon is not asked anything until `{authorize}` is done",
    "loop_api_key": "write the API key of this Loop shop into it",
    "loop_webhook_secrets": "this shop is only polled; write the secret that Loop shows beside its webhooks into it",
    "vault_keys": "run `mcfd keygen` and write what it prints into it",
    "ops_token": "write a long random text into it, such as `openssl rand -hex 32` prints",
}


_OF_ACCOUNTS = (
    *("amazon_client_secret", "amazon_refresh_token", "amazon_return_service_id"),
    *("easypost_api_key", "easypost_webhook_secret"),
)
"""The kinds of secrets that each account has its own of."""

_OF_VENDORS = frozenset({"amazon_client_secret", "loop_api_key"})
"""The vendors' secrets; commands that only look can run without them."""


def file_of(account: str, kind: str) -> str:
    """Name the secret file of an account, as messages write it."""
    return kind if account == MAIN_ACCOUNT else f"{kind}.{account}"


class AccountSecrets(BaseModel):
    """What the secret files of one account hold. Lists are newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    amazon_client_secrets: tuple[SecretStr, ...]
    amazon_refresh_token: SecretStr | None = None
    amazon_return_service_id: SecretStr | None = None
    easypost_api_key: SecretStr | None = None
    easypost_webhook_secrets: tuple[SecretStr, ...] = ()
    """None at all means that parcels are only polled."""
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None

    def values(self) -> Iterator[SecretStr]:
        """Every secret, but no mere id."""
        yield from (*self.amazon_client_secrets, *self.easypost_webhook_secrets)
        single = (self.amazon_refresh_token, self.amazon_return_service_id, self.easypost_api_key)
        yield from filter(None, (*single, self.aws_secret_access_key))


class Secrets(BaseModel):
    """What the secret files hold. Lists are newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    accounts: Mapping[str, AccountSecrets]
    loop_api_keys: Mapping[str, SecretStr]
    """By shop."""
    loop_webhook_secrets: Mapping[str, tuple[SecretStr, ...]]
    """By shop; an empty tuple means that the shop is only polled."""
    vault_keys: tuple[SecretStr, ...]
    """URL-safe base64 of 32 bytes each."""
    ops_token: SecretStr
    console_proxy_secret: SecretStr | None = None
    store_password: SecretStr | None = None
    """Of store.url."""
    notify: Mapping[str, SecretStr] = {}
    """By receiver: Slack's address, a token, or a password."""

    @property
    def vault_key_bytes(self) -> tuple[bytes, ...]:
        """The vault's keys, 32 bytes each."""
        return tuple(base64.urlsafe_b64decode(key.get_secret_value()) for key in self.vault_keys)

    def values(self) -> tuple[str, ...]:
        """Return every secret as plain text, for the log's redactor."""
        of_accounts = (secret for account in self.accounts.values() for secret in account.values())
        webhook_secrets = (secret for secrets in self.loop_webhook_secrets.values() for secret in secrets)
        of_shops = (*self.loop_api_keys.values(), *webhook_secrets)
        ours = (self.ops_token, *filter(None, [self.console_proxy_secret, self.store_password]))
        known = (*of_accounts, *of_shops, *self.vault_keys, *self.notify.values(), *ours)
        return tuple(secret.get_secret_value() for secret in known)


_KEPT_OF_SHOPS: Mapping[str, str] = {
    "loop_api_key": "loop_api_keys",
    "loop_webhook_secrets": "loop_webhook_secrets",
}
_KEPT_OF_ACCOUNTS: Mapping[str, str] = {
    "amazon_client_secret": "amazon_client_secrets",
    "amazon_refresh_token": "amazon_refresh_token",
    "amazon_return_service_id": "amazon_return_service_id",
    "easypost_api_key": "easypost_api_key",
    "easypost_webhook_secret": "easypost_webhook_secrets",
}
"""Secrets that may be kept in the store instead of a file, and their fields."""

_SEVERAL_LINES = frozenset({"loop_webhook_secrets", "amazon_client_secret", "easypost_webhook_secret"})


def kept_names(accounts: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Name every secret that the store may keep, as its file is named, for these accounts and their shops."""
    of_accounts = [file_of(account, kind) for account in accounts for kind in _KEPT_OF_ACCOUNTS]
    of_shops = [f"{kind}.{shop}" for shops in accounts.values() for shop in shops for kind in _KEPT_OF_SHOPS]
    return (*of_accounts, *of_shops)


def check_kept(name: str, text: str) -> str:
    """Return a secret to keep, one or several trimmed lines; ValueError, which never shows it, if it cannot be one."""
    lines, kind = _lines_in(text), name.partition(".")[0]
    if len(lines) > 1 and kind not in _SEVERAL_LINES:
        raise ValueError(f"holds {len(lines)} lines; give only the one in use")
    if not lines:
        raise ValueError("is empty; give it a value")
    service = kind == "amazon_return_service_id"
    return "\n".join(check_printable(line, 128 if service else 4096, blanks=service) for line in lines)


def filed_value(secrets: Secrets, name: str) -> object:
    """Return what these secrets have under the name of a file; empty or None for nothing."""
    kind, _, owner = name.partition(".")
    if kind in _KEPT_OF_SHOPS:
        return getattr(secrets, _KEPT_OF_SHOPS[kind]).get(owner)
    return getattr(secrets.accounts[owner or MAIN_ACCOUNT], _KEPT_OF_ACCOUNTS[kind])


def with_kept(filed: Secrets, kept: Mapping[str, str]) -> Secrets:
    """Fill what no file has with what the store keeps; a file goes before it."""
    missing = {name: text for name, text in kept.items() if not filed_value(filed, name)}
    changed: dict[str, dict[str, object]] = {field: dict(getattr(filed, field)) for field in _KEPT_OF_SHOPS.values()}
    accounts: dict[str, dict[str, object]] = {account: {} for account in filed.accounts}
    for name, text in missing.items():
        kind, _, owner = name.partition(".")
        lines = tuple(SecretStr(line) for line in text.split("\n"))
        value = lines if kind in _SEVERAL_LINES else lines[0]
        if kind in _KEPT_OF_SHOPS:
            changed[_KEPT_OF_SHOPS[kind]][owner] = value
        else:
            accounts[owner or MAIN_ACCOUNT][_KEPT_OF_ACCOUNTS[kind]] = value
    of_accounts = {name: account.model_copy(update=accounts[name]) for name, account in filed.accounts.items()}
    return filed.model_copy(update={**changed, "accounts": of_accounts})


class SecretDirectory:
    """Reads a directory of secret files; `problems` and `warnings` collect what is wrong.

    `copy_of` is the operator's own directory when this one is the copy that systemd made at the start. With
    `unfinished`, missing secrets of vendors are no problem but listed in `absent`.
    """

    def __init__(self, directory: Path, copy_of: Path | None = None, *, unfinished: bool = False) -> None:
        self.problems: list[str] = []
        self.absent: dict[str, str] = {}
        self._unfinished = unfinished
        self.warnings: list[str] = []
        self._directory = directory
        self._place = copy_of or directory
        self._afterwards = ", then `systemctl restart mcfd`" if copy_of else ""
        self._files: dict[str, list[Path]] = {}

    def read(self, shops: Mapping[str, Sequence[str]]) -> Secrets | None:
        """Read all secrets for these accounts and their shops; None when there are problems."""
        if not self._list():
            return None
        of_shops = [shop for account in shops.values() for shop in account]
        found: dict[str, object] = {
            "accounts": {account: self._of_account(account) for account in shops},
            "loop_api_keys": {shop: key for shop in of_shops if (key := self._line(f"loop_api_key.{shop}"))},
            "loop_webhook_secrets": {
                shop: self._lines(f"loop_webhook_secrets.{shop}", needed=False) for shop in of_shops
            },
            "vault_keys": self._vault_keys(),
            "ops_token": self._line("ops_token"),
            "console_proxy_secret": self._line("console_proxy_secret", needed=False),
            "store_password": self._line("store_password", needed=False, blanks=True),
            "notify": {name.removeprefix(NOTIFY): self._line(name, blanks=True) for name in self._of_receivers()},
        }
        self._report_unknown(list(shops), of_shops)
        if self.problems:
            return None
        secrets = Secrets.model_validate(found)
        self._compare(secrets)
        return None if self.problems else secrets

    def _of_account(self, account: str) -> dict[str, object]:
        name = partial(self._name_of, account)
        return {
            "amazon_client_secrets": self._lines(name("amazon_client_secret")),
            "amazon_refresh_token": self._line(name("amazon_refresh_token"), needed=False),
            "amazon_return_service_id": self._line(
                name("amazon_return_service_id"), needed=False, blanks=True, longest=128
            ),
            "easypost_api_key": self._line(name("easypost_api_key"), needed=False),
            "easypost_webhook_secrets": self._lines(name("easypost_webhook_secret"), needed=False),
            "aws_access_key_id": self._line(name("aws_access_key_id"), needed=False, blanks=False, longest=128),
            "aws_secret_access_key": self._line(name("aws_secret_access_key"), needed=False, longest=256),
        }

    def _name_of(self, account: str, kind: str) -> str:
        """The name of an account's file: for `main` also the bare one, and a key of AWS may serve all accounts."""
        own = f"{kind}.{account}"
        if account == MAIN_ACCOUNT and {kind, own} <= self._files.keys():
            self._wrong(own, f"stands beside {kind}, which is the same; remove one of them")
        bare = account == MAIN_ACCOUNT or (kind in _AWS_KEY and kind in self._files)
        return kind if bare and own not in self._files else own

    def _of_receivers(self) -> list[str]:
        return [name for name in self._files if name.startswith(NOTIFY)]

    def _list(self) -> bool:
        try:
            entries = sorted(self._directory.iterdir())
        except NotADirectoryError:
            return self._problem(f"{self._directory} is not a directory; name the one that holds the secret files")
        except FileNotFoundError:
            return self._problem(f"{self._directory} does not exist; make it, or name another with --secrets DIR")
        except OSError as error:
            return self._problem(f"{self._directory} cannot be listed ({error.strerror}); let mcfd's user read it")
        for entry in entries:
            if not entry.name.startswith("."):  # Kubernetes uses such names internally
                self._files.setdefault(entry.name.removeprefix(SYSTEMD_PREFIX), []).append(entry)
        return True

    def _problem(self, message: str) -> bool:
        self.problems.append(f"secrets directory: {message}")
        return False

    def _wrong(self, name: str, message: str) -> None:
        self.problems.append(f"secret {name}: {message}")

    def _lines(self, name: str, *, needed: bool = True, blanks: bool = False, longest: int = 4096) -> tuple[str, ...]:
        """Return the trimmed, non-blank lines of a secret file; none, with a problem noted, when missing or wrong."""
        if name not in self._files:
            self._note_absent(name, needed=needed)
            return ()
        texts = {path: self._text(name, path) for path in self._files[name]}
        contents = {_lines_in(text) for text in texts.values() if text is not None}
        if None in texts.values():
            return ()
        if len(contents) > 1:
            self._wrong(name, f"differs from the file {SYSTEMD_PREFIX}{name} beside it; remove one of them")
            return ()
        lines = next(iter(contents), ())
        if not lines:
            self._wrong(name, "is empty; write the secret into it or remove the file")
        return lines if self._are_printable(name, lines, blanks=blanks, longest=longest) else ()

    def _line(self, name: str, *, needed: bool = True, blanks: bool = False, longest: int = 4096) -> str | None:
        lines = self._lines(name, needed=needed, blanks=blanks, longest=longest)
        if len(lines) > 1:
            self._wrong(name, f"holds {len(lines)} lines; leave only the one in use")
        return lines[0] if lines else None

    def _note_absent(self, name: str, *, needed: bool) -> None:
        kind, _, owner = name.partition(".")
        authorize = f"mcfd authorize amazon --account {owner}" if owner else "mcfd authorize amazon"
        advice = _ABSENT.get(kind, "").format(authorize=authorize)
        if needed and kind in _OF_VENDORS:  # the store may keep it; without it, its connection is parked
            self.absent[name] = f"{advice}{self._afterwards}"
            if not self._unfinished:
                self.warnings.append(
                    f"secret {name}: is not in {self._place}; {advice}, or run `mcfd settings set {name}`"
                )
        elif needed:
            self._wrong(name, f"is not in {self._place}; {advice}{self._afterwards}")
        elif advice:
            self.warnings.append(f"secret {name}: is not in {self._place}; {advice}{self._afterwards}")

    def _text(self, name: str, path: Path) -> str | None:
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
                self._wrong(name, f"is not a file of at most {LARGEST // 1024} KiB; put the secret into a plain file")
                return None
            text = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            self._wrong(name, f"cannot be read ({error.strerror}); let mcfd's user read {path}")
            return None
        except UnicodeDecodeError:
            self._wrong(name, "is not UTF-8 text; write it again as plain text")
            return None
        if status.st_mode & stat.S_IRWXO:
            self.warnings.append(f"secret {name}: every user of this machine may read it; run chmod o= {path}")
        return text

    def _are_printable(self, name: str, lines: Sequence[str], *, blanks: bool, longest: int) -> bool:
        for number, line in enumerate(lines, start=1):
            try:
                check_printable(line, longest, blanks=blanks)
            except ValueError as error:
                self._wrong(name, f"line {number} {error}")
                return False
        return True

    def _vault_keys(self) -> tuple[str, ...]:
        keys = []
        for number, line in enumerate(self._lines("vault_keys"), start=1):
            try:
                key = base64.b64decode(line.translate(_STANDARD) + "=" * (-len(line) % 4), validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if len(key) != 32:
                self._wrong("vault_keys", f"line {number} is not a key of 32 bytes in base64; run `mcfd keygen`")
            keys.append(base64.urlsafe_b64encode(key).decode())
        return tuple(keys)

    def _report_unknown(self, accounts: Sequence[str], shops: Sequence[str]) -> None:
        known = [f"{kind}.{shop}" for kind in ("loop_api_key", "loop_webhook_secrets") for shop in shops]
        known += [f"{kind}.{account}" for kind in (*_OF_ACCOUNTS, *_AWS_KEY) for account in accounts]
        known += [*(_OF_ACCOUNTS if MAIN_ACCOUNT in accounts else ()), *_AWS_KEY]
        known += ["vault_keys", "ops_token", "console_proxy_secret", "store_password", *self._of_receivers()]
        for name in sorted(self._files.keys() - set(known)):
            close = get_close_matches(name, known, n=1)
            advice = f"did you mean {close[0]}?" if close else "remove it"
            self.warnings.append(f"secret {name}: is not a secret that mcfd knows; {advice}")

    def _compare(self, secrets: Secrets) -> None:
        owners: dict[str, str] = {}
        for shop, key in secrets.loop_api_keys.items():
            owner = owners.setdefault(key.get_secret_value(), shop)
            if owner != shop:
                self._wrong(f"loop_api_key.{shop}", f"is the key of {owner}, too; each shop has a key of its own")
        sellers: dict[str, str] = {}
        for account, own in secrets.accounts.items():
            token = own.amazon_refresh_token
            if token and (seller := sellers.setdefault(token.get_secret_value(), account)) != account:
                what = f"is the token of {seller}, too; put the shops of one seller into one account"
                self._wrong(self._name_of(account, "amazon_refresh_token"), what)
            self._compare_aws_key(account, own)
        if len(secrets.ops_token) < SHORT_TOKEN:
            self.warnings.append(f"secret ops_token: is shorter than {SHORT_TOKEN} characters; {_ABSENT['ops_token']}")

    def _compare_aws_key(self, account: str, own: AccountSecrets) -> None:
        for kind, other in (_AWS_KEY, _AWS_KEY[::-1]):
            if getattr(own, kind) and not getattr(own, other):
                name, partner = self._name_of(account, kind), self._name_of(account, other)
                self._wrong(name, f"is of no use without {partner}; write that file, too, or remove this one")


def _lines_in(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


_STANDARD = str.maketrans("-_", "+/")
