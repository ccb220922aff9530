"""Turns the operator's settings into the plain values that rules and adapters take."""

from collections.abc import Iterator
from dataclasses import fields

from config.model import SellerAccount, Settings
from config.order_names import has_own_prefix, shared_templates
from config.secret_files import AccountSecrets
from config.shop import Shop
from daemon.domain.matching import fold
from daemon.domain.policy import ShopPolicy
from daemon.domain.returns import LabelSourceName, Switches
from daemon.domain.schedule import Timings
from daemon.domain.verdict import GradeEntry, Rule, Treatment, VerdictPolicy

_TIMINGS = [field.name for field in fields(Timings)]


def timings(settings: Settings) -> Timings:
    """The intervals and deadlines of the rules."""
    return Timings(**{name: getattr(settings.timings, name) for name in _TIMINGS})


def shop_policy(name: str, account: SellerAccount, secrets: AccountSecrets) -> ShopPolicy:
    """The policy of one of the account's shops."""
    shop = account.shops[name]
    return ShopPolicy(
        destinations=frozenset(shop.destinations),
        only_returns=frozenset(shop.only_returns),
        order_id_templates=tuple(shop.order_id_templates),
        order_id_prefix=shop.order_id_prefix,
        shared_templates=frozenset(shared_templates(name, account.shops)),
        own_prefix=has_own_prefix(name, account.shops),
        sole_shop=len(account.shops) == 1,
        home_countries=account.amazon.home_countries,
        sku_map=shop.sku_map,
        hold_unmatched=shop.unmatched == "hold",
        reasons={(fold(line.key[0]), fold(line.key[1])): line.code for line in shop.reasons.map},
        default_reason=shop.reasons.default,
        report_transit=shop.report_transit,
        verdict=verdict_policy(shop),
        label_source=LabelSourceName(account.label_source_of(name, secrets)),
        page_instead=frozenset(_page_instead(account)),
        max_spend_per_day_cents=account.easypost.max_spend_per_day_cents,
        labels=shop.features.labels,
        switches=Switches(grades=shop.features.grades, outcomes=shop.features.outcomes),
        rma_carrier=account.amazon.rma_page.carrier,
        rma_rate_cents=account.amazon.rma_page.rate_cents,
    )


def _page_instead(account: SellerAccount) -> Iterator[LabelSourceName]:
    """The sources whose labels may be replaced by Amazon's page."""
    if account.amazon.on_service_not_offered == "rma_page":
        yield LabelSourceName.AMAZON_SHIPPING
    if account.easypost.on_no_rate == "rma_page":
        yield LabelSourceName.EASYPOST


def verdict_policy(shop: Shop) -> VerdictPolicy:
    """How findings are judged and graded."""
    verdict = shop.verdict
    return VerdictPolicy(
        conditions={condition: Treatment(then) for condition, then in verdict.conditions.items()},
        missing=Treatment(verdict.missing),
        not_returnable=Treatment(verdict.not_returnable),
        absent=Treatment.PROCESS if verdict.condition_absent == "clean" else Treatment.FLAG,
        rules=tuple(
            Rule(
                then=Treatment(rule.then),
                sku=rule.sku,
                reason=rule.reason,
                condition=rule.condition,
                max_value_cents=rule.max_value_cents,
            )
            for rule in verdict.rules
        ),
        grades={
            condition: GradeEntry(grade=grade.grade, title=grade.title, disposition=grade.disposition)
            for condition, grade in shop.grades.items()
        },
        auto_process=shop.exchanges.auto_process,
    )
