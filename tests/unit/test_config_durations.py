import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.durations import LONGEST, format_duration, parse_duration
from daemon.domain.durations import DAY, HOUR, MINUTE

HINT = "write 24h, 30m, 10s"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("2s", 2),
        ("0.5s", 0.5),
        ("5m", 300),
        ("12h", 43200),
        ("7d", 604800),
        ("1h30m", 5400),
        ("1d12h", 129600),
        ("1d2h3m4s5ms", DAY + 2 * HOUR + 3 * MINUTE + 4.005),
        (" 90s ", 90),
        ("3650d", LONGEST),
    ],
)
def test_reads_durations(text: str, seconds: float) -> None:
    """A number with a unit is a duration, and so is a combination of units from long to short."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("24", f'"24" has no unit; {HINT}'),
        (24, f'"24" has no unit; {HINT}'),
        (1.5, f'"1.5" has no unit; {HINT}'),
        ("-5", f'"-5" has no unit; {HINT}'),
        (0, f'"0" has no unit; {HINT}'),
        ("", f'"" is not a duration; {HINT}'),
        ("soon", f'"soon" is not a duration; {HINT}'),
        ("5 m", f'"5 m" is not a duration; {HINT}'),
        ("-5m", f'"-5m" is not a duration; {HINT}'),
        ("5M", f'"5M" is not a duration; {HINT}'),
        ("5w", f'"5w" is not a duration; {HINT}'),
        ("1h30", f'"1h30" is not a duration; {HINT}'),
        ("٣m", f'"٣m" is not a duration; {HINT}'),
        ("1e3s", f'"1e3s" is not a duration; {HINT}'),
        ("x" * 50, f'"{"x" * 20}…" is not a duration; {HINT}'),
        (True, f"is not a duration; {HINT}"),
        (None, f"is not a duration; {HINT}"),
        (["5m"], f"is not a duration; {HINT}"),
        ("30m1h", '"30m1h" mixes its units up; write the longest first and each once, as in 1h30m'),
        ("1h1h", '"1h1h" mixes its units up; write the longest first and each once, as in 1h30m'),
        ("0s", '"0s" is out of range; write more than 0s and at most 3650d'),
        ("3651d", '"3651d" is out of range; write more than 0s and at most 3650d'),
        ("9" * 400 + "d", f'"{"9" * 20}…" is out of range; write more than 0s and at most 3650d'),
    ],
)
def test_says_what_is_wrong_and_what_to_write(value: object, message: str) -> None:
    """What is no duration is refused in words that tell the operator what to write."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_duration(value)


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=int(LONGEST * 1000)))
def test_written_durations_read_back(milliseconds: int) -> None:
    """Every duration that can be written reads back as the same number of seconds."""
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6)


@settings(deadline=None)
@given(
    st.one_of(
        st.text(max_size=30),
        st.from_regex(r"[0-9.]{1,6}(ms|[dhms])[0-9.]{0,4}(ms|[dhms])?", fullmatch=True),
        st.integers(),
        st.floats(),
        st.none(),
        st.lists(st.integers(), max_size=2),
    )
)
def test_anything_is_a_positive_duration_or_refused(value: object) -> None:
    """Whatever is written, the answer is a number of seconds within the range or a ValueError with advice."""
    seconds, advice = 1.0, "; write"
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        advice = str(error)
    assert 0 < seconds <= LONGEST
    assert "; write" in advice


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "500ms"), (90, "1m30s"), (86400, "1d"), (5400, "1h30m"), (0, "0ms"), (2.25, "2s250ms")]
)
def test_writes_durations_the_short_way(seconds: float, text: str) -> None:
    """A duration in a message is written as an operator would write it."""
    assert format_duration(seconds) == text
