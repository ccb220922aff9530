"""The Loop stand-in is read as Loop's pages say: keys, scopes, limit, versions, details, the list, destinations."""

from urllib.parse import parse_qs, quote, urlsplit

from tests.edges.test_sandbox_swagger import outside

SOCK = {"sku": "SOCK", "price": "18.00", "reason": "Seam came apart", "parent_reason": "Defective"}
UNKNOWN = 999


def details_of(out, ret: int) -> dict:
    """Show what the sandbox holds of a return."""
    return out.sandbox.snapshot()["loop"]["returns"][str(ret)]


async def listed(out, query: str, version: str = "2026-10"):
    """Ask for the list."""
    return await out.loop("GET", f"/warehouse/return/list?{query}", version=version)


async def request_of(out, ret: int) -> dict:
    """Read the first label request of a return."""
    answer = await out.loop("GET", f"/label-requests/{details_of(out, ret)['label_requests'][0]}")
    return answer.body


async def test_a_wrong_key_gets_the_gateways_401():
    """Without the right key every operation is refused in the gateway's words."""
    async with outside() as out:
        answer = await out.loop("GET", "/webhooks", headers={"X-Authorization": "wrong"})
        assert answer.status == 401
        assert answer.body == {
            "error": {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message": "Unauthorized."},
        }


async def test_a_missing_scope_is_another_401():
    """A key without the scope of an operation is refused in other words; its scopes still work."""
    async with outside(api_scopes=frozenset({"returns"})) as out:
        answer = await out.loop("GET", "/label-requests")
        assert (answer.status, answer.body) == (401, {"errors": "Unauthorized."})
        assert (await listed(out, "")).status == 200


async def test_the_limit_is_300_a_minute():
    """The 301st call within a minute is a 429, and the headers count down; a minute later it goes on."""
    async with outside(enforce_limits=True) as out:
        out.clock.hold()
        answers = [await out.loop("GET", "/webhooks") for _ in range(301)]
        assert (answers[0].headers["x-ratelimit-limit"], answers[0].headers["x-ratelimit-remaining"]) == ("300", "299")
        assert [answer.status for answer in answers[-2:]] == [200, 429]
        assert answers[-1].headers["x-ratelimit-remaining"] == "0"
        out.clock.shift = 61
        assert (await out.loop("GET", "/webhooks")).status == 200


async def test_every_version_answers_and_others_do_not():
    """All documented versions work, so does none at all; an unknown one is a 404."""
    async with outside() as out:
        for version in ("2026-10", "2026-07", "v1", "latest", "unstable", ""):
            assert (await out.loop("GET", "/destinations", version=version)).status == 200
        assert (await out.loop("GET", "/destinations", version="2019-01")).status == 404


async def test_a_return_has_one_line_per_unit_and_no_quantity():
    """Three units of one order line are three line items that share the shop's line item id."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1001", [SOCK | {"quantity": 3}], provider_order_id="6100")
        body = (await out.loop("GET", f"/warehouse/return/details?return_id={ret}")).body
        assert len({line["line_item_id"] for line in body["line_items"]}) == 3
        assert len({line["provider_line_item_id"] for line in body["line_items"]}) == 1
        assert not any("quantity" in line for line in body["line_items"])
        assert (body["id"], body["provider_order_id"], body["order_name"]) == (ret, 6100, "#1001")
        assert (body["total"], body["outcome"], body["state"]) == ("54.00", "refund", "open")
        assert body["destination_id"] == out.sandbox.options.destination_id
        line = body["line_items"][0]
        assert (line["return_reason"], line["parent_return_reason"]) == ("Seam came apart", "Defective")
        assert len((await request_of(out, ret))["products"]) == 3


async def test_details_spell_ids_and_times_otherwise_than_the_list():
    """Details have integer ids and zoneless times, the list has strings and ISO times."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1001", [SOCK])
        body = (await out.loop("GET", f"/warehouse/return/details?return_id={ret}")).body
        row = (await listed(out, "")).body[0]
        assert (body["id"], row["id"]) == (ret, str(ret))
        assert isinstance(body["line_items"][0]["line_item_id"], int)
        assert isinstance(row["line_items"][0]["line_item_id"], str)
        assert (row["created_at"][-1], row["created_at"][10], body["created_at"][10]) == ("Z", "T", " ")


async def test_details_are_found_by_three_names_and_nothing_is_a_200():
    """A return is found by its id, the shop's order id or the order's name; nothing found is a 200 with an error."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1001", [SOCK], provider_order_id="6100")
        for query in (f"return_id={ret}", "order_id=6100", "order_name=%231001"):
            assert (await out.loop("GET", f"/warehouse/return/details?{query}")).body["id"] == ret
        missing = await out.loop("GET", "/warehouse/return/details?return_id=1")
        assert (missing.status, missing.body) == (200, {"error": {"message": "No return found with this ID."}})
        assert (await out.loop("GET", "/warehouse/return/details")).status == 422


async def test_the_list_hides_review_and_cancelled():
    """States review and cancelled must be asked for by name; an unknown one is a 422."""
    async with outside() as out:
        open_one, flagged, gone = (out.sandbox.submit_return(f"#{n}", [SOCK]) for n in range(3))
        out.sandbox.flag_return(flagged)
        out.sandbox.cancel_return(gone)
        assert [row["id"] for row in (await listed(out, "")).body] == [str(open_one)]
        assert [row["id"] for row in (await listed(out, "state=review")).body] == [str(flagged)]
        assert [row["id"] for row in (await listed(out, "state=cancelled")).body] == [str(gone)]
        assert (await listed(out, "state=needs%20review")).status == 422


async def test_the_lists_window():
    """No window is the last day, `from` alone the day after it, `to` alone is ignored, 120 days are the most."""
    async with outside() as out:
        ret = str(out.sandbox.submit_return("#1001", [SOCK]))
        created = details_of(out, int(ret))["created_at"]
        out.clock.shift = 3 * 86400

        async def ids(query):
            return [row["id"] for row in (await listed(out, query)).body]

        assert await ids("") == []
        assert await ids(f"from={quote(created)}") == [ret]
        assert await ids("from=2020-01-01T00:00:00.000Z") == []
        assert await ids("to=2100-01-01T00:00:00Z") == []
        span = "from=2026-11-01T00:00:00Z&to=2027-06-01T00:00:00Z"
        assert (await listed(out, span)).status == 422
        assert (await listed(out, "from=yesterday")).status == 422
        out.sandbox.flag_return(ret)
        assert await ids("filter=updated_at&state=review") == [ret]
        assert await ids("filter=created_at&state=review") == []


async def test_pages_and_their_incomplete_links():
    """Pages follow by cursor; the page links lack `from`, `state` and `paginate`."""
    async with outside() as out:
        wanted = [str(out.sandbox.submit_return(f"#{n}", [SOCK])) for n in range(5)]
        out.clock.shift = 10
        window = "from=2026-01-01T00:00:00Z&to=2026-04-01T00:00:00Z"
        assert (await listed(out, f"{window}&paginate=true")).body["returns"] == []
        query, cursor, seen, links = "filter=updated_at&state=open&paginate=true&pageSize=2", "", [], []
        for _ in range(3):
            page = (await listed(out, f"{query}{cursor}")).body
            seen += [row["id"] for row in page["returns"]]
            links.append(page["nextPageUrl"])
            if links[-1]:
                cursor = "&cursor=" + parse_qs(urlsplit(links[-1]).query)["cursor"][0]
        assert seen == wanted
        assert (links[-1], page["previousPageUrl"] is None) == (None, False)
        assert set(parse_qs(urlsplit(links[0]).query)) == {"filter", "pageSize", "cursor"}
        assert links[0].startswith(out.sandbox.loop_url + "/2026-10/warehouse/return/list?")
        assert (await listed(out, "paginate=true&pageSize=751")).status == 422


async def test_destinations_are_read():
    """The Amazon destination is among those listed and can be read; an unknown one is a 404."""
    async with outside() as out:
        wanted = out.sandbox.options.destination_id
        listed_ones = (await out.loop("GET", "/destinations")).body["destinations"]
        assert wanted in [destination["id"] for destination in listed_ones]
        assert (await out.loop("GET", f"/destinations/{wanted}")).body["name"] == "Amazon MCF"
        missing = await out.loop("GET", f"/destinations/{UNKNOWN}")
        assert (missing.status, missing.body["code"]) == (404, "NOT_FOUND")
