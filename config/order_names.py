"""Whether the shops of one seller's account can tell their orders apart by what these are called at Amazon."""

from collections.abc import Mapping

from config.shop import Shop

_NAMES = ("{order_name_bare}", "{order_name}", "{order_number}")  # of each shop, counted from the same beginnings


def shared_templates(name: str, shops: Mapping[str, Shop]) -> Mapping[str, str]:
    """The templates of a shop that may make the id of another shop's order, each with the first such shop.

    An id of the shop system ({provider_order_id}) is nobody else's.
    """
    theirs: dict[str, str] = {}
    for other, shop in shops.items():
        if other != name:
            for template in shop.order_id_templates:
                theirs.setdefault(_form(template, shop), other)
    own = shops[name]
    forms = {template: _form(template, own) for template in own.order_id_templates}
    return {template: theirs[form] for template, form in forms.items() if form in theirs and _only_names(template)}


def has_own_prefix(name: str, shops: Mapping[str, Shop]) -> bool:
    """Whether a shop has a prefix, and no other's begins so, nor the other way round."""
    own = shops[name].order_id_prefix
    others = [shop.order_id_prefix for other, shop in shops.items() if other != name]
    return own != "" and not any(other != "" and (other.startswith(own) or own.startswith(other)) for other in others)


def _only_names(template: str) -> bool:
    return "{provider_order_id}" not in template


def _form(template: str, shop: Shop) -> str:
    """A template with the prefix in its place and one word for every kind of number that a shop counts by itself."""
    for name in _NAMES:
        template = template.replace(name, "{name}")
    return template.replace("{prefix}", shop.order_id_prefix).replace("#", "")
