"""Each reason why a return waits for a person has a code, advice, and one place in the documentation."""

import re
from pathlib import Path

import pytest

from daemon.domain.acts import Act
from daemon.domain.problems import ANOTHER_KEY, NO_LABEL_SOURCE, ProblemCode, code_of
from daemon.errors import ContractBroken, CredentialsRefused, RateLimited, Refused, Unavailable
from daemon.operations.advice import ADVICE, document

ROOT = Path(__file__).parents[2]
ROW = re.compile(
    r'^\| <a id="(?P<anchor>[a-z-]+)"></a>`(?P<code>[a-z-]+)` \| (?P<means>[^|]+) \| (?P<advice>[^|]+) \|$',
    re.MULTILINE,
)


def test_every_code_has_its_anchor_and_every_anchor_its_code():
    """docs/operating.md has one anchor per code, in the order of the codes, with the advice that the verbs give."""
    rows = list(ROW.finditer((ROOT / "docs/operating.md").read_text(encoding="utf-8")))

    assert [row["anchor"] for row in rows] == [code.value for code in ProblemCode]
    assert {row["anchor"]: row["advice"] for row in rows} == {code.value: ADVICE[code] for code in ProblemCode}
    assert all(row["code"] == row["anchor"] for row in rows)


@pytest.mark.parametrize("code", ProblemCode)
def test_a_code_leads_to_a_document_that_exists(code):
    """The address of a code's documentation names a file of ours and an anchor in it."""
    path, _, anchor = document(code).partition("#")

    assert f'<a id="{anchor}"></a>' in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "act", "code"),
    [
        (Refused("NO"), Act.AUTHORIZE_UNITS, ProblemCode.AMAZON_REFUSED),
        (Refused("NO"), Act.BUY_POSTAGE, ProblemCode.PURCHASE_REFUSED),
        (Refused("NO"), Act.QUOTE_POSTAGE, ProblemCode.LABEL_SOURCE_REFUSED),
        (Refused("NO"), Act.SETTLE, ProblemCode.LOOP_REFUSED),
        (Refused(NO_LABEL_SOURCE), Act.FETCH_LABEL, ProblemCode.LABEL_SOURCE_GONE),
        (Refused(ANOTHER_KEY), Act.BUY_POSTAGE, ProblemCode.KEY_CHANGED),
        (CredentialsRefused("no"), Act.SETTLE, ProblemCode.CREDENTIALS_REFUSED),
        (Unavailable("down"), Act.MATCH_ORDER, ProblemCode.VENDOR_SILENT),
        (RateLimited("slow"), Act.MATCH_ORDER, ProblemCode.VENDOR_SILENT),
        (ContractBroken("odd"), Act.MATCH_ORDER, ProblemCode.ANSWER_UNREADABLE),
        (KeyError("x"), Act.MATCH_ORDER, ProblemCode.ERROR_IN_MCFD),
    ],
)
def test_the_code_of_a_failure_says_who_said_no(error, act, code):
    """A failed act has a code by the kind of its error, and for a refusal by whose call it was."""
    assert code_of(error, act) is code
