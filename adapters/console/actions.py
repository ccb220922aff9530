"""The buttons: which verb each calls, what it needs, and what a person should know before."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.console.people import Role


@dataclass(frozen=True, slots=True)
class Action:
    """A verb about one return, as a button. `field` is the argument that a person types, with its label and hint.

    After one that leaves it `gone` the return has no page any more.
    """

    verb: str
    label: str
    about: str
    field: str = ""
    field_label: str = ""
    hint: str = ""
    previewed: bool = True
    grave: bool = False
    button: str = ""
    gone: bool = False
    role: Role = Role.ACT


ADOPT = Action("adopt", "Take it over", "Compare it with Loop and Amazon.")
"""It has a page of its own."""

ACTIONS: Mapping[str, Action] = {
    action.verb: action
    for action in (
        Action("retry", "Retry", "Send it back to work."),
        Action(
            "link",
            "Link an order",
            "Say which fulfillment orders it belongs to.",
            field="orders",
            field_label="Fulfillment orders at Amazon",
            hint="Their ids, separated by blanks: #1001 #1001-B",
        ),
        Action("unlink", "Forget the link", "Match it by the shop's rules again."),
        Action("look", "Ask Amazon now", "Read its orders at Amazon at once.", previewed=False),
        Action("resolve", "Resolve", "Close it, because a person has dealt with it."),
        Action("cancel", "Cancel", "Give it up for good.", grave=True, button="Cancel this return"),
        Action(
            "forget",
            "Forget",
            "Erase it wherever mcfd keeps it.",
            grave=True,
            button="Erase this return",
            role=Role.ADMIN,
            gone=True,
        ),
    )
}
