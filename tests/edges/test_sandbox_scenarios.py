"""Scenarios are read with clear complaints, are played as written, and go all the way with the real daemon."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import yaml

from adapters.host.clock import SystemClock
from adapters.host.systemd import Notifier
from adapters.sandbox import Sandbox, SandboxOptions
from adapters.sandbox.control.scenario import ScenarioError, find, play, read, shipped
from daemon.app.app import App
from daemon.demo.run import SHOP, _loaded
from tests.edges.test_sandbox_swagger import outside
from tests.support.swagger import MODELS, CheckedSandbox

CLOCK = SystemClock()
SOON = 1e-6
"""Days pass in tenths of a second."""


async def played(sandbox: Sandbox, text: str, *, pace: float = 1.0) -> list[str]:
    """Play a scenario and return what was told."""
    told: list[str] = []
    await play(read(text), sandbox, CLOCK, asyncio.Event(), tell=told.append, pace=pace)
    return told


def states(sandbox: Sandbox) -> list[str]:
    """Name the state of each return, oldest first."""
    return [ret["state"] for ret in sandbox.snapshot()["loop"]["returns"].values()]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["a scenario is a YAML mapping of about, options and steps"]),
        ("steps: [", ["while parsing a flow node"]),
        ("step: []", ["the scenario: step is unknown; known here: about, options, steps"]),
        ("steps: {}", ["the scenario: steps is not a list; write [a, b]"]),
        ("steps: [{levitate: {}}]", ["step 1: one operation of the control API is needed, there is: levitate"]),
        ("steps: [{after: 1}]", ["step 1: one operation of the control API is needed, there is: none"]),
        (
            "steps: [{expire: {return_id: 1}, flag_return: {return_id: 1}}]",
            ["step 1: one operation of the control API is needed, there is: expire, flag_return"],
        ),
        ("steps: [{expire: 7}]", ["step 1, expire: the arguments are names with values"]),
        (
            "steps: [{expire: {}}, {lose: {return_id: [], colour: red}}]",
            [
                'step 1, expire: argument "return_id" is missing; add it',
                'step 2, lose: argument "return_id.int" is not a whole number',
                'step 2, lose: argument "return_id.str" is not text',
                'step 2, lose: argument "colour" is unknown; known here: return_id',
            ],
        ),
        ("steps: [{expire: {return_id: $ret}}]", ["step 1, expire: no step before it says `as: ret`"]),
        ("steps: [{expire: {return_id: 1}, after: -1}]", ["step 1: after is too small; write 0 or more"]),
        ("steps: [{expire: {return_id: 1}, as: Ret}]", ["step 1: as is no name; write one in small letters"]),
        ("steps: [{expire: {return_id: 1}, name: ret}]", ["step 1: name is unknown; known here: after, within, as"]),
        ("options: {colour: red}", ["options: colour is unknown; known here: seed, client_id"]),
        ("options: {label_after: soon}", ["options: label_after is not a number; write one like 2.5"]),
        ("options: {control_port: 1}", ["options: control_port is unknown; known here: seed"]),
        ("options: {time_factor: -1}", ["options: time_factor is 0 or more"]),
        ("options: {amazon_limits: {token: [0, 0]}}", ["options: amazon_limits.token is [calls a second above 0"]),
        ("options: {webhook_url: nonsense}", ["options: webhook_url is no URL; write one like http://"]),
    ],
)
def test_each_mistake_is_named_with_its_place(text, problems):
    """Whatever is wrong in a scenario is told before anything is played, all of it at once."""
    with pytest.raises(ScenarioError) as wrong:
        read(text)
    assert len(wrong.value.problems) == len(problems)
    for found, expected in zip(wrong.value.problems, problems, strict=True):
        assert found.startswith(expected)


def test_options_are_the_sandboxes():
    """A scenario may set the sandbox up, in the words of its options."""
    story = read('options: {seed: 7, amazon_limits: {"*": [1, 5]}, api_scopes: [returns], bad_reason: item}')
    options = SandboxOptions(**story.options)
    assert (options.seed, options.amazon_limits, options.bad_reason) == (7, {"*": (1.0, 5)}, "item")
    assert options.api_scopes == frozenset({"returns"})


async def test_steps_are_played_in_order_and_refer_to_each_other():
    """Results are kept by name and put where they are referred to, also inside lists."""
    async with outside() as out:
        told = await played(
            out.sandbox,
            """
            steps:
              - create_order: {order_id: "1", lines: {SOCK: 1}}
              - submit_return: {order_name: "#1", lines: [{sku: SOCK}, {sku: CAP}]}
                as: ret
              - edit_return: {return_id: $ret, add: [{sku: HAT}]}
                as: added
              - flag_return: {return_id: $ret}
            """,
        )
        (ret,) = out.sandbox.snapshot()["loop"]["returns"].values()
        assert [line["sku"] for line in ret["line_items"]] == ["SOCK", "CAP", "HAT"]
        assert ret["state"] == "review"
        assert [line.split("s  ")[1] for line in told] == [
            "create_order",
            f"submit_return = {ret['id']}",
            f"edit_return = [{ret['line_items'][-1]['line_item_id']}]",
            "flag_return",
        ]


async def test_waits_have_a_pace():
    """What comes after a day comes after a day at pace 1, and soon at a small one; a stop ends it."""
    story = "steps: [{create_order: {order_id: a, lines: {S: 1}}, after: 86400}]"
    async with outside() as out:
        await played(out.sandbox, story, pace=SOON)
        assert list(out.sandbox.snapshot()["amazon"]["orders"]) == ["a"]
    async with outside() as out:
        stop = asyncio.Event()
        playing = asyncio.create_task(play(read(story), out.sandbox, CLOCK, stop, tell=print))
        await CLOCK.wait(asyncio.Event(), 0.05)
        stop.set()
        await playing
        assert out.sandbox.snapshot()["amazon"]["orders"] == {}


async def test_a_step_is_tried_again_within_its_time():
    """What cannot be yet is tried again until it can; when its time is over the step is named."""
    story = """
        steps:
          - create_order: {order_id: "1001", lines: {SOCK: 1}}
          - submit_return: {order_name: "#1001", lines: [{sku: SOCK}]}
            as: ret
          - receive: {return_id: $ret, sku: SOCK}
            within: %s
    """
    async with outside() as out:
        playing = asyncio.create_task(played(out.sandbox, story % 20))
        while "1001" not in out.sandbox.snapshot()["amazon"]["orders"]:
            await CLOCK.wait(asyncio.Event(), 0.01)
        await out.give_back("1001", await out.unit("1001", "u1"))
        assert len(await playing) == 3
    async with outside() as out:
        with pytest.raises(ScenarioError, match="step 3, receive: no unit of 'SOCK' is on its way"):
            await played(out.sandbox, story % 0)


async def test_a_result_of_the_wrong_kind_is_named():
    """A result that does not fit where it is put ends the scenario with a sentence."""
    async with outside() as out:
        story = "steps: [{create_order: {order_id: a, lines: {S: 1}}, as: a}, {set_label_after: {seconds: $a}}]"
        with pytest.raises(ScenarioError, match='step 2, set_label_after: set_label_after: argument "seconds"'):
            await played(out.sandbox, story)


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_can_be_read(name):
    """Each of them is without mistakes and says what it is about."""
    story = read(find(name))
    assert story.about
    assert story.steps


def test_a_file_is_found_by_its_path(tmp_path):
    """A scenario of one's own is a path; one that cannot be read is told with what there is."""
    path = tmp_path / "mine.yaml"
    path.write_text("about: mine")
    assert read(find(str(path))).about == "mine"
    path.write_bytes(b"\xff\xfe: [")
    with pytest.raises(ScenarioError):
        read(find(str(path)))
    with pytest.raises(ScenarioError, match="neither a file nor a shipped scenario"):
        find(str(tmp_path / "nobody.yaml"))
    with pytest.raises(ScenarioError, match="Is a directory"):
        find(str(tmp_path))


async def test_the_shop_needs_nobody():
    """One of the shipped scenarios is a shop to look at, and the same each time."""
    worlds = []
    for _ in range(2):
        async with outside() as out:
            await played(out.sandbox, find("shop"))
            assert states(out.sandbox) == ["open", "open", "review", "cancelled"]
            loop = out.sandbox.snapshot()["loop"]
            worlds.append((list(loop["returns"]), list(loop["label_requests"])))
    assert worlds[0] == worlds[1]


async def test_a_seed_repeats_what_chance_did():
    """Two sandboxes with one seed lose the same webhooks; with another seed others."""

    async def lost(seed: int) -> list[bool]:
        async with outside(webhook_url="http://127.0.0.1:9/", retry_unit=600, seed=seed) as out:
            out.sandbox.set_faults([{"vendor": "webhook", "kind": "lose", "probability": 0.5}])
            return [out.sandbox.faults.pick("webhook", "x") is not None for _ in range(40)]

    assert await lost(7) == await lost(7)
    assert await lost(7) != await lost(8)


@asynccontextmanager
async def with_the_daemon(folder, story):
    """Run the real daemon beside a sandbox that a story has set up."""
    options = SandboxOptions(**{"enforce_limits": False, **story.options})
    async with CheckedSandbox(options, CLOCK, asked=True) as sandbox:
        app = App(_loaded(folder, sandbox), clock=CLOCK, notifier=Notifier(None, CLOCK))
        stop, opened = asyncio.Event(), asyncio.Event()

        async def ready() -> None:
            sandbox.set_webhook_url(f"http://127.0.0.1:{app.public_port}/webhooks/loop/{SHOP}")
            opened.set()

        running = asyncio.create_task(app.run(stop, ready))
        try:
            await opened.wait()
            yield sandbox
        finally:
            stop.set()
            await running


@pytest.mark.parametrize(("name", "ends"), [("clean", "closed"), ("damaged", "closed"), ("bad_day", "open")])
async def test_shipped_scenarios_go_all_the_way_with_the_daemon(name, ends, tmp_path):
    """The daemon plays its part in each, and all it asks of Amazon, and all it is answered, fits Amazon's models."""
    story = read(find(name))
    async with with_the_daemon(tmp_path, story) as sandbox:
        await play(story, sandbox, CLOCK, asyncio.Event(), tell=print, pace=SOON)
        end = CLOCK.monotonic() + 30
        while states(sandbox) != [ends] and CLOCK.monotonic() < end:
            await CLOCK.wait(asyncio.Event(), 0.05)
        assert states(sandbox) == [ends]
        (ret,) = sandbox.snapshot()["loop"]["returns"].values()
        assert len(ret["delivered_labels"]) == 1
        assert sandbox.misfits == []
        assert sandbox.snapshot()["amazon"]["warnings"] == []
        if MODELS.is_dir():
            asked = {operation for operation, _ in sandbox.judged}
            assert asked >= {"getFulfillmentOrder", "createFulfillmentReturn", "getRates", "purchaseShipment"}


def test_scenarios_are_packaged():
    """What is shipped is YAML in the package itself."""
    assert {"clean", "damaged", "bad_day", "hosted", "shop"} == set(shipped())
    assert all(isinstance(yaml.safe_load(find(name)), dict) for name in shipped())
