"""Checks whether the shops of one account can tell their orders apart by their ids at Amazon."""

from collections.abc import Mapping

from config.shop import Shop

_NAMES = ("{order_name_bare}", "{order_name}", "{order_number}")  # every shop counts these from the same start


def shared_templates(name: str, shops: Mapping[str, Shop]) -> Mapping[str, str]:
    """Return the templates of a shop that may produce another shop's order id, each with the first such shop.

    {provider_order_id}, an id of the shop system, is unique.
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
    """Whether a shop has a prefix that is no beginning of another shop's prefix, nor the reverse."""
    own = shops[name].order_id_prefix
    others = [shop.order_id_prefix for other, shop in shops.items() if other != name]
    return own != "" and not any(other != "" and (other.startswith(own) or own.startswith(other)) for other in others)


def _only_names(template: str) -> bool:
    return "{provider_order_id}" not in template


def _form(template: str, shop: Shop) -> str:
    """Fill in the prefix, and one common word for all numbers that each shop counts by itself."""
    for name in _NAMES:
        template = template.replace(name, "{name}")
    return template.replace("{prefix}", shop.order_id_prefix).replace("#", "")
