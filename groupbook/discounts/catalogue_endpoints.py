"""A merchant's rules over HTTP: upload, date, compare, withdraw, and try them on people who do not exist."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from groupbook import merchants
from groupbook.discounts import service
from groupbook.discounts.calls import DiscountDeps, in_session
from groupbook.discounts.catalogue_schemas import (
    ChangesQuery,
    CheckRules,
    PutRules,
    RuleChangesOut,
    RulesCheckOut,
    RulesOut,
    RulesQuery,
    RuleVersionList,
    RuleVersionOut,
    StoredRulesOut,
)
from groupbook.discounts.domain import (
    CaseInvalid,
    CatalogueInvalid,
    CatalogueNotFound,
    NoOwnFare,
    Problem,
    RulesUnsupported,
    TooManyCombinations,
)
from groupbook.discounts.trial_schemas import TrialOut, TryRules
from groupbook.discounts.versions import CatalogueInForce, changes_between
from groupbook.kit.errors import Invalid
from groupbook.kit.http import Call, FieldProblem, InvalidRequest, Operation, operation

READ = "offers:read"
WRITE = "offers:write"


class CatalogueRefused(InvalidRequest):
    """Rules that are broken or cannot be priced exactly, each with its pointer."""

    code = "catalogue_refused"


class TrialAmbiguous(Invalid):
    """Both a version and a draft were given."""

    code = "trial_ambiguous"


def _told(call: Call[DiscountDeps], problems: Iterable[Problem]) -> list[FieldProblem]:
    return [FieldProblem(pointer=p.pointer, code=p.code, detail=call.deps.sentence(p)) for p in problems]


def _number(version: str) -> int:
    """A version as it stands in a path."""
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise CatalogueNotFound(version=version)
    return int(version)


async def _check(call: Call[DiscountDeps], document: dict[str, Any], starts_on: date | None) -> service.CatalogueCheck:
    currency = await in_session(call, lambda session, now: merchants.read_merchant(session).currency)
    return await call.run(service.check_catalogue, document, starts_on=starts_on, currency=currency)


@operation("GET", "/v1/rules", auth="merchant", tags=["rules"], scope=READ, errors=[CatalogueNotFound])
async def read_rules(call: Call[DiscountDeps], query: RulesQuery) -> RulesOut:
    """Your discount rules in force for a day of travel."""
    found = await in_session(call, lambda session, now: service.read_catalogue(session, query.on or now.date()))
    return RulesOut.of(found)


@operation("PUT", "/v1/rules", auth="merchant", tags=["rules"], scope=WRITE, errors=[CatalogueRefused])
async def put_rules(call: Call[DiscountDeps], body: PutRules) -> StoredRulesOut:
    """Upload a new version of your discount rules.

    A rule that is broken, or that cannot be priced exactly, is refused with a pointer; then nothing is stored. What is
    only strange is stored and told in `warnings`.
    """
    document = {"rules": body.rules}
    check = await _check(call, document, body.starts_on)
    if check.problems:
        raise CatalogueRefused(_told(call, check.problems))
    stored = await in_session(
        call, lambda session, now: service.put_catalogue(session, document, starts_on=body.starts_on, now=now)
    )
    return StoredRulesOut.stored(stored, check, call.deps.sentence)


@operation("POST", "/v1/rules/check", auth="merchant", tags=["rules"], scope=READ)
async def check_rules(call: Call[DiscountDeps], body: CheckRules) -> RulesCheckOut:
    """What an upload of these rules would be told: every problem and warning. Nothing is stored."""
    return RulesCheckOut.of(await _check(call, {"rules": body.rules}, body.starts_on), call.deps.sentence)


@operation(
    "POST",
    "/v1/rules/try",
    auth="merchant",
    tags=["rules"],
    scope=READ,
    errors=[
        CatalogueNotFound,
        CatalogueRefused,
        TrialAmbiguous,
        TooManyCombinations,
        NoOwnFare,
        service.TrialsBusy,
    ],
)
async def try_rules(call: Call[DiscountDeps], body: TryRules) -> TrialOut:
    """The price of a made-up party under your rules, or under a draft of them. Nothing is stored."""
    if body.version is not None and body.rules is not None:
        raise TrialAmbiguous(pointer="/rules")
    draft = None if body.rules is None else {"rules": body.rules}
    try:
        rules = await in_session(
            call,
            lambda session, now: service.trial_rules(session, on=body.trip.date, version=body.version, draft=draft),
        )
        trial = await call.run(service.try_party, rules, body.party())
    except (CatalogueInvalid, RulesUnsupported) as error:
        raise CatalogueRefused(_told(call, error.problems)) from error
    except CaseInvalid as error:
        told = _told(call, error.problems)
        raise InvalidRequest([one.model_copy(update={"pointer": _ours(one.pointer)}) for one in told]) from error
    return TrialOut.of(trial, body.currency)


def _ours(pointer: str) -> str:
    return pointer.replace("/travellers", "/travelers", 1)  # spelling: the cases' own


@operation("GET", "/v1/rules/versions", auth="merchant", tags=["rules"], scope=READ)
async def list_rule_versions(call: Call[DiscountDeps]) -> RuleVersionList:
    """Every version of your rules, the newest first, and which is in force when."""
    found = await in_session(call, lambda session, now: service.list_versions(session, now.date()))
    return RuleVersionList(data=[RuleVersionOut.of(one) for one in found])


@operation(
    "GET", "/v1/rules/versions/{version}", auth="merchant", tags=["rules"], scope=READ, errors=[CatalogueNotFound]
)
async def read_rule_version(call: Call[DiscountDeps], version: str) -> RulesOut:
    """One version of your rules, as you uploaded it."""
    number = _number(version)
    return RulesOut.of(await in_session(call, lambda session, now: service.read_version(session, number)))


@operation(
    "GET",
    "/v1/rules/versions/{version}/changes",
    auth="merchant",
    tags=["rules"],
    scope=READ,
    errors=[CatalogueNotFound],
)
async def read_rule_changes(call: Call[DiscountDeps], version: str, query: ChangesQuery) -> RuleChangesOut:
    """Which rules a version added, removed and changed, against the upload before it or against another."""
    number = _number(version)
    pair = await in_session(call, lambda session, now: service.version_pair(session, number, since=query.since))
    before = pair.before.document if pair.before else {"rules": []}
    since = pair.before.version if pair.before else None
    return RuleChangesOut.of(number, since, changes_between(before, pair.after.document))


@operation(
    "DELETE",
    "/v1/rules/versions/{version}",
    auth="merchant",
    tags=["rules"],
    scope=WRITE,
    errors=[CatalogueNotFound, CatalogueInForce],
)
async def withdraw_rule_version(call: Call[DiscountDeps], version: str) -> None:
    """Take back a version whose first day has not come. Its number is never given again."""
    number = _number(version)
    await in_session(call, lambda session, now: service.withdraw_version(session, number, now=now))


OPERATIONS: tuple[Operation, ...] = (
    read_rules,
    put_rules,
    check_rules,
    try_rules,
    list_rule_versions,
    read_rule_version,
    read_rule_changes,
    withdraw_rule_version,
)
