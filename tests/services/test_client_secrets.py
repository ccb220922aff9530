"""A client secret that Amazon sends is kept once, sealed, used first, and asked for once."""

import pytest

from daemon.errors import OperatorError, Unavailable
from daemon.operations.client_secrets import SECRETS_MARK, Rotation
from daemon.ports.notifications import NewClientSecret
from tests.services.stage import CLIENT, DAY


def rotation(stage, calls: list[str], *, days_left: float = 100.0, fail: Exception | None = None) -> Rotation:
    async def rotate() -> None:
        calls.append("asked")
        if fail:
            raise fail

    return Rotation(
        store=stage.store,
        clock=stage.clock,
        secrets=stage.secrets,
        rotate=rotate,
        days_left=lambda: days_left,
        has_queue=True,
    )


async def arrive(stage, secret: str, client: str = CLIENT) -> None:
    await stage.news._take([NewClientSecret(client_id=client, secret=secret)], [])


async def test_a_secret_is_sealed_used_first_and_survives_a_restart(stage):
    """The newest goes first; the store shows none of it; the next process takes it up."""
    await arrive(stage, "amzn1.oa2-cs.v1.new")
    await arrive(stage, "amzn1.oa2-cs.v1.new")
    assert stage.secrets.for_the_file() == ["amzn1.oa2-cs.v1.new", "filed"]
    kept = await stage.store.read(lambda uow: uow.mark(SECRETS_MARK))
    assert "oa2" not in kept
    await stage.restart()
    await stage.secrets.load()
    assert stage.used_secrets[-1] == ("amzn1.oa2-cs.v1.new",)
    assert stage.secrets.only_here


async def test_once_the_file_has_it_the_store_forgets_it(stage):
    """Whoever writes it into the file later replaces it there, and is not overruled by an older one of ours."""
    await arrive(stage, "new")
    stage.filed_secrets[:] = ["new", "filed"]
    await stage.secrets.load()
    assert not stage.secrets.only_here
    stage.filed_secrets[:] = ["newer"]
    await stage.secrets.load()
    assert stage.secrets.for_the_file() == ["newer"]


async def test_another_one_is_not_asked_for_while_one_is_to_arrive(stage):
    """A second request within the hour is refused, also after a restart; once it arrived, or later, one may ask again."""
    calls: list[str] = []
    await rotation(stage, calls).ask("anna")
    await stage.restart()
    with pytest.raises(OperatorError, match="still to arrive"):
        await rotation(stage, calls).ask("anna")
    await arrive(stage, "new")
    await rotation(stage, calls).ask("anna")
    assert len(calls) == 2


async def test_a_request_that_had_no_effect_may_be_repeated_at_once(stage):
    """Amazon that could not be reached was not asked; one whose answer was lost may have been."""
    calls: list[str] = []
    with pytest.raises(Unavailable):
        await rotation(stage, calls, fail=Unavailable("no connection", unclear=False)).ask("anna")
    with pytest.raises(Unavailable):
        await rotation(stage, calls, fail=Unavailable("timed out")).ask("anna")
    with pytest.raises(OperatorError):
        await rotation(stage, calls).ask("anna")


async def test_by_itself_it_is_asked_for_once_a_day_and_only_when_little_is_left(stage):
    """With more than thirty days left nothing is asked; with fewer once a day, whatever comes of it."""
    calls: list[str] = []
    await rotation(stage, calls, days_left=31.0).in_time()
    assert calls == []
    for _ in range(3):
        await rotation(stage, calls, days_left=29.0).in_time()
    assert calls == ["asked"]
    stage.clock.advance(DAY + 1)
    await rotation(stage, calls, days_left=29.0).in_time()
    assert calls == ["asked"] * 2
