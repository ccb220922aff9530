import base64
from pathlib import Path

import pytest

from config.secret_files import SecretDirectory, Secrets

KEY = bytes(range(200, 232))  # its base64 holds both + and /
POLLED = "is not in DIR; this shop is only polled; write the secret that Loop shows beside its webhooks into it"
Content = str | bytes | None
GOOD: dict[str, Content] = {
    "amazon_client_secret": "canary-client-new\ncanary-client-old\n",
    "amazon_refresh_token": "Atzr|canary-refresh\n",
    "amazon_return_service_id": "RS canary 1\n",
    "loop_api_key.acme": "canary-api-key\n",
    "loop_webhook_secrets.acme": "canary-hook-new\ncanary-hook-old\n",
    "vault_keys": base64.b64encode(KEY).decode() + "\n",
    "ops_token": "canary-ops-token-0123456789\n",
}


def write(directory: Path, files: dict[str, Content]) -> Path:
    """Put the files there, readable by their owner alone."""
    for name, content in files.items():
        if content is not None:
            path = directory / name
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o600)
    return directory


def read(directory: Path | None, shops: tuple[str, ...] = ("acme",)) -> tuple[Secrets | None, list[str], list[str]]:
    """The secrets, the problems and the warnings."""
    reader = SecretDirectory(directory)
    return reader.read({"main": shops}), reader.problems, reader.warnings


def problems(directory: Path, changes: dict[str, Content]) -> list[str]:
    """What is said of the good files with these changes, which make them unusable."""
    secrets, found, _ = read(write(directory, {**GOOD, **changes}))
    assert secrets is None
    return [problem.replace(str(directory), "DIR") for problem in found]


def warnings(directory: Path, changes: dict[str, Content]) -> list[str]:
    """What is said of the good files with these changes, which leave them usable."""
    secrets, found, said = read(write(directory, {**GOOD, **changes}))
    assert secrets is not None
    assert not found
    return [warning.replace(str(directory), "DIR") for warning in said]


def test_reads_every_secret(tmp_path: Path) -> None:
    """Each file becomes its secret, lists in the order of the file, without a word of warning."""
    secrets, found, said = read(write(tmp_path, dict(GOOD)))
    assert (found, said) == ([], [])
    assert secrets is not None
    assert [s.get_secret_value() for s in secrets.accounts["main"].amazon_client_secrets] == [
        "canary-client-new",
        "canary-client-old",
    ]
    assert secrets.accounts["main"].amazon_refresh_token is not None
    assert secrets.accounts["main"].amazon_refresh_token.get_secret_value() == "Atzr|canary-refresh"
    assert secrets.accounts["main"].amazon_return_service_id is not None
    assert secrets.accounts["main"].amazon_return_service_id.get_secret_value() == "RS canary 1"
    assert secrets.loop_api_keys["acme"].get_secret_value() == "canary-api-key"
    hooks = [s.get_secret_value() for s in secrets.loop_webhook_secrets["acme"]]
    assert hooks == ["canary-hook-new", "canary-hook-old"]
    assert secrets.vault_key_bytes == (KEY,)
    assert secrets.ops_token.get_secret_value() == "canary-ops-token-0123456789"


def test_blanks_do_not_count(tmp_path: Path) -> None:
    """Blank lines, blanks around a line, Windows line ends and a byte order mark are not part of a secret."""
    content = b"\xef\xbb\xbf\r\n  canary-one \r\n\r\n\tcanary-two\r\n\r\n"
    secrets, found, _ = read(write(tmp_path, {**GOOD, "amazon_client_secret": content}))
    assert not found
    assert secrets is not None
    assert [s.get_secret_value() for s in secrets.accounts["main"].amazon_client_secrets] == [
        "canary-one",
        "canary-two",
    ]


def test_systemd_prefix_is_stripped(tmp_path: Path) -> None:
    """The names that systemd gives the files of a loaded directory mean the same secrets."""
    secrets, found, said = read(write(tmp_path, {f"mcfd_{name}": content for name, content in GOOD.items()}))
    assert (found, said) == ([], [])
    assert secrets is not None
    assert secrets.loop_api_keys["acme"].get_secret_value() == "canary-api-key"


def test_same_secret_under_both_names(tmp_path: Path) -> None:
    """A secret that is there with and without the prefix is accepted while both say the same."""
    assert warnings(tmp_path, {"mcfd_ops_token": f"\n{GOOD['ops_token']}\n"}) == []


def test_secrets_of_shops_are_apart(tmp_path: Path) -> None:
    """Each shop has its own key and its own webhook secrets."""
    files = {**GOOD, "loop_api_key.bolt": "canary-bolt", "loop_webhook_secrets.bolt": "canary-bolt-hook"}
    secrets, found, said = read(write(tmp_path, files), ("acme", "bolt"))
    assert (found, said) == ([], [])
    assert secrets is not None
    assert {shop: key.get_secret_value() for shop, key in secrets.loop_api_keys.items()} == {
        "acme": "canary-api-key",
        "bolt": "canary-bolt",
    }
    assert [s.get_secret_value() for s in secrets.loop_webhook_secrets["bolt"]] == ["canary-bolt-hook"]


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padding", ["=", ""])
def test_vault_keys_in_either_base64(tmp_path: Path, encode, padding: str) -> None:
    """Standard and URL-safe base64, padded or not, mean the same 32 bytes."""
    newest = bytes(range(32))
    lines = [encode(key).decode().rstrip("=") + padding for key in (newest, KEY)]
    secrets, found, _ = read(write(tmp_path, {**GOOD, "vault_keys": "\n".join(lines)}))
    assert not found
    assert secrets is not None
    assert secrets.vault_key_bytes == (newest, KEY)
    assert [s.get_secret_value() for s in secrets.vault_keys] == [
        base64.urlsafe_b64encode(key).decode() for key in (newest, KEY)
    ]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("vault_keys", None, "is not in DIR; run `mcfd keygen` and write what it prints into it"),
        (
            "ops_token",
            None,
            "is not in DIR; write a long random text into it, such as `openssl rand -hex 32` prints",
        ),
        ("ops_token", "\n \n", "is empty; write the secret into it or remove the file"),
        ("ops_token", "", "is empty; write the secret into it or remove the file"),
        (
            "amazon_refresh_token",
            "",
            "is empty; write the secret into it or remove the file",
        ),
        ("ops_token", b"\xff\xfecanary", "is not UTF-8 text; write it again as plain text"),
        (
            "ops_token",
            "canary one",
            "line 1 holds a blank or something that is not plain ASCII; remove it",
        ),
        (
            "loop_webhook_secrets.acme",
            "canary-one\ncanarÿ",
            "line 2 holds a blank or something that is not plain ASCII; remove it",
        ),
        ("ops_token", "canary-a\ncanary-b", "holds 2 lines; leave only the one in use"),
        (
            "amazon_return_service_id",
            "c" * 129,
            "line 1 is 129 characters long; write at most 128",
        ),
        (
            "ops_token",
            "canary\n" * 20_000,
            "is not a file of at most 64 KiB; put the secret into a plain file",
        ),
        ("vault_keys", "canary*", "line 1 is not a key of 32 bytes in base64; run `mcfd keygen`"),
        ("vault_keys", "canary", "line 1 is not a key of 32 bytes in base64; run `mcfd keygen`"),
        (
            "vault_keys",
            base64.b64encode(KEY).decode() + "\n" + base64.b64encode(KEY[:31]).decode(),
            "line 2 is not a key of 32 bytes in base64; run `mcfd keygen`",
        ),
        (
            "mcfd_ops_token",
            "canary-another-ops-token",
            "differs from the file mcfd_ops_token beside it; remove one of them",
        ),
    ],
)
def test_says_which_file_is_wrong(tmp_path: Path, name: str, content: str | bytes | None, problem: str) -> None:
    """A file that cannot be used is named with what to do about it, and nothing of its content is shown."""
    found = problems(tmp_path, {name: content})
    assert found == [f"secret {name.removeprefix('mcfd_')}: {problem}"]
    assert "canary" not in "".join(found)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """One run names every file that is wrong."""
    _, found, _ = read(tmp_path)
    assert [problem.split(":")[0] for problem in found] == [
        "secret vault_keys",
        "secret ops_token",
    ]


def test_one_key_for_two_shops(tmp_path: Path) -> None:
    """Two shops with the same API key would be one shop served twice."""
    files = {**GOOD, "loop_api_key.bolt": GOOD["loop_api_key.acme"]}
    secrets, found, _ = read(write(tmp_path, files), ("acme", "bolt"))
    assert secrets is None
    assert found == ["secret loop_api_key.bolt: is the key of acme, too; each shop has a key of its own"]


def test_directory_in_place_of_a_file(tmp_path: Path) -> None:
    """A directory with the name of a secret is not followed."""
    (tmp_path / "ops_token").mkdir()
    assert problems(tmp_path, {"ops_token": None}) == [
        "secret ops_token: is not a file of at most 64 KiB; put the secret into a plain file"
    ]


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that the system does not open is named with the system's own reason."""
    (tmp_path / "ops_token").symlink_to("ops_token")
    (problem,) = problems(tmp_path, {"ops_token": None})
    assert problem.startswith("secret ops_token: cannot be read (")
    assert problem.endswith("); let mcfd's user read DIR/ops_token")


def test_directory_that_is_none(tmp_path: Path) -> None:
    """A secrets directory that is not there, or a file, is one problem, not one per secret."""
    file = tmp_path / "file"
    file.write_text("x")
    assert read(file)[1] == [f"secrets directory: {file} is not a directory; name the one that holds the secret files"]
    assert read(tmp_path / "gone")[1] == [
        f"secrets directory: {tmp_path / 'gone'} does not exist; make it, or name another with --secrets DIR"
    ]


def test_directory_that_cannot_be_listed(tmp_path: Path) -> None:
    """A directory that the system does not list is named with the system's own reason."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (problem,) = read(loop)[1]
    assert problem.startswith(f"secrets directory: {loop} cannot be listed (")
    assert problem.endswith("); let mcfd's user read it")


@pytest.mark.parametrize(
    ("name", "content", "warning"),
    [
        (
            "amazon_refresh_token",
            None,
            "is not in DIR; Amazon is not asked anything until `mcfd authorize amazon` is done",
        ),
        (
            "loop_webhook_secrets.acme",
            None,
            POLLED,
        ),
        (
            "amazon_client_secret",
            None,
            "is not in DIR; write the LWA client secret of the application into it, or run `mcfd settings set amazon_client_secret`",
        ),
        (
            "loop_api_key.acme",
            None,
            "is not in DIR; write the API key of this Loop shop into it, or run `mcfd settings set loop_api_key.acme`",
        ),
        ("ops_tokn", "canary", "is not a secret that mcfd knows; did you mean ops_token?"),
        (
            "mcfd_loop_api_key.acne",
            "canary",
            "is not a secret that mcfd knows; did you mean loop_api_key.acme?",
        ),
        ("zzz", "canary", "is not a secret that mcfd knows; remove it"),
        (
            "ops_token",
            "canary-short",
            "is shorter than 16 characters; write a long random text into it, such as `openssl rand -hex 32` prints",
        ),
    ],
)
def test_warns(tmp_path: Path, name: str, content: str | None, warning: str) -> None:
    """What may be meant is a warning: the secrets are read all the same."""
    assert warnings(tmp_path, {name: content}) == [f"secret {name.removeprefix('mcfd_')}: {warning}"]


def test_return_service_id_may_be_absent(tmp_path: Path) -> None:
    """Without the file of the Return Service ID there is none, and nothing to warn about here."""
    assert warnings(tmp_path, {"amazon_return_service_id": None}) == []


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_warns_of_files_open_to_everyone(tmp_path: Path, mode: int) -> None:
    """A secret file that every user can read or write is pointed out with the command that closes it."""
    (write(tmp_path, dict(GOOD)) / "ops_token").chmod(mode)
    assert read(tmp_path)[2] == [
        f"secret ops_token: every user of this machine may read it; run chmod o= {tmp_path / 'ops_token'}"
    ]


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640])
def test_group_may_read(tmp_path: Path, mode: int) -> None:
    """root:mcfd 0640, and the 0440 that systemd's access list looks like, are in order."""
    (write(tmp_path, dict(GOOD)) / "ops_token").chmod(mode)
    assert read(tmp_path)[2] == []


def test_bookkeeping_of_kubernetes_is_left_alone(tmp_path: Path) -> None:
    """Entries that start with a dot are no secrets, and links through them are followed."""
    data = tmp_path / "..2026_11_01"
    data.mkdir()
    write(data, dict(GOOD))
    (tmp_path / "..data").symlink_to(data)
    for name in GOOD:
        (tmp_path / name).symlink_to(tmp_path / "..data" / name)
    secrets, found, said = read(tmp_path)
    assert secrets is not None
    assert (found, said) == ([], [])


def test_secrets_never_show(tmp_path: Path) -> None:
    """Neither repr nor str nor a JSON dump of the secrets holds any of them."""
    secrets, _, _ = read(write(tmp_path, dict(GOOD)))
    assert secrets is not None
    shown = f"{secrets!r} {secrets!s} {secrets.model_dump_json()}"
    assert "canary" not in shown
    assert base64.urlsafe_b64encode(KEY).decode() not in shown


def test_values_are_all_secrets(tmp_path: Path) -> None:
    """What the redactor is given is every secret, one by one."""
    secrets, _, _ = read(write(tmp_path, dict(GOOD)))
    assert secrets is not None
    lines = {line for content in GOOD.values() for line in content.split("\n") if line}
    key = base64.urlsafe_b64encode(KEY).decode()
    assert set(secrets.values()) == (lines - {GOOD["vault_keys"].strip()}) | {key}
