"""What a shop has switched off: labels per request when it is heard, grades and outcomes per return at its verdict.

Later changes of the configuration apply to a return by an operator's retry alone: otherwise turning outcomes on would
settle months of old returns.
"""

from daemon.domain.copies import replace
from daemon.domain.returns import Return, State, Switches
from daemon.domain.transitions.labels import LABEL_STATES

_BEFORE_THE_VERDICT = LABEL_STATES | {State.AWAITING_INSPECTION, State.EXPIRED, State.INSPECTED}


def up_to_date(ret: Return, switches: Switches) -> Return:
    """The return with the shop's switches of today, unless its verdict has fixed them."""
    before = (ret.resume_state or ret.state) in _BEFORE_THE_VERDICT
    return replace(ret, switches=switches) if before and ret.switches != switches else ret
