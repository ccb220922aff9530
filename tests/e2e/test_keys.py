"""Vault keys that were changed in the wrong order, or lost."""

import base64
import os

import pytest

from tests.e2e.daemon_process import DaemonDied
from tests.e2e.world import SOCK, vendors


async def test_a_daemon_without_its_key_says_so(tmp_path):
    """With another key than the store's it ends with 78, and says what to do; with the old one it goes on."""
    async with vendors(tmp_path, buys_labels=True) as w:
        await w.daemon.start()
        w.subscribe()
        await w.labelled(w.submit("#6801", SOCK))
        assert await w.daemon.sigterm() == 0
        old, new = w.daemon.secrets["vault_keys"], base64.urlsafe_b64encode(os.urandom(32)).decode()

        w.daemon.secrets["vault_keys"] = new
        with pytest.raises(DaemonDied, match=r"exit 78(.|\n)*vault_keys: lacks the key(.|\n)*purge --rekey"):
            await w.daemon.start()
        w.daemon.secrets["vault_keys"] = f"{new}\n{old}"
        await w.restart()
        await w.labelled(w.submit("#6802", SOCK))
        assert await w.daemon.sigterm() == 0

        w.daemon.secrets["vault_keys"] = new
        lost = await w.daemon.cli("purge", "--rekey", "--json")
        assert (lost.status, lost.json["unreadable"] > 0) == (1, True)
        await w.restart()
        await w.labelled(w.submit("#6803", SOCK))
        assert await w.daemon.sigterm() == 0


async def test_nothing_is_sealed_anew_before_the_daemon_has_the_new_key(tmp_path):
    """Whoever forgot the restart is told so, instead of that nothing had to be done; afterwards it is done."""
    async with vendors(tmp_path, buys_labels=True) as w:
        await w.daemon.start()
        w.subscribe()
        await w.labelled(w.submit("#6811", SOCK))
        new = base64.urlsafe_b64encode(os.urandom(32)).decode()
        w.daemon.secrets["vault_keys"] = f"{new}\n{w.daemon.secrets['vault_keys']}"
        early = await w.daemon.cli("purge", "--rekey")
        assert (early.status, "`systemctl restart mcfd`, then again" in early.stderr) == (1, True)

        assert await w.daemon.sigterm() == 0
        await w.restart()
        done = await w.daemon.cli("purge", "--rekey", "--json")
        assert (done.status, done.json["unreadable"], done.json["resealed"] > 0) == (0, 0, True)
