"""A daemon that starts with nothing but its own two secrets, and is given the others while it runs."""

from tests.e2e.world import SHOP, SOCK, world

VENDORS = ("amazon_client_secret", "amazon_refresh_token", f"loop_api_key.{SHOP}", f"loop_webhook_secrets.{SHOP}")


async def test_credentials_are_given_to_a_running_daemon(tmp_path):
    """Missing credentials park their connections and are named; typed in, they work at once, and nothing shows them."""
    async with world(tmp_path) as w:
        values = {name: w.daemon.secrets[name] for name in VENDORS if name in w.daemon.secrets}
        for name in values:
            del w.daemon.secrets[name]
            (w.daemon.secret_folder / name).unlink()
        await w.restart()
        ready = await w.daemon.ops("/readyz")
        assert f"loop/{SHOP}" in ready[1]["problems"]

        for name, value in values.items():
            status, answer = await w.daemon.verb("settings_set", name=name, value=value, by="somebody")
            assert (status, answer["name"]) == (200, name)
        return_id = w.submit("#3001", SOCK)
        await w.labelled(return_id)

        _, listed = await w.daemon.verb("settings_list")
        assert {row["name"]: row["where"] for row in listed["settings"]}[f"loop_api_key.{SHOP}"] == "store"
        told = str(listed) + str(w.daemon.lines)
        assert not any(value in told for value in values.values())
