"""Rules are data: the declarative schema of discount rules, as pydantic models. No rule carries code.

Parsing checks the shape of every field and refuses with a pointer. `unsupported` then names, rule by rule, what this
engine does not price yet, so that a catalogue is refused at upload and nothing is ever silently ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from groupbook.discounts.engine.errors import CatalogueInvalid, Problem, RulesUnsupported

AMOUNT_MAX = 1_000_000_000
PEOPLE_MAX = 99
RULES_MAX = 1_000
DEPTH_MAX = 8

Amount = Annotated[StrictInt, Field(ge=0, le=AMOUNT_MAX)]
BasisPoints = Annotated[StrictInt, Field(ge=0, le=10_000)]
Count = Annotated[StrictInt, Field(ge=0, le=PEOPLE_MAX)]
Code = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")]
Scalar = StrictBool | StrictInt | str
AgeRange = tuple[Annotated[int, Field(ge=0, le=150)] | None, Annotated[int, Field(ge=0, le=150)] | None]
Families = Literal["*"] | tuple[Code, ...]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Clause(Model):
    """One condition on the trip's facts, or `any` / `all` / `not` of further ones."""

    fact: Code | None = None
    age: AgeRange | None = None
    eq: Scalar | None = None
    ne: Scalar | None = None
    is_in: tuple[Scalar, ...] | None = Field(None, alias="in")
    nin: tuple[Scalar, ...] | None = None
    ge: Scalar | None = None
    gt: Scalar | None = None
    le: Scalar | None = None
    lt: Scalar | None = None
    has: Scalar | None = None
    lacks: Scalar | None = None
    any_of: tuple[Clause, ...] | None = Field(None, alias="any")
    all_of: tuple[Clause, ...] | None = Field(None, alias="all")
    negated: Clause | None = Field(None, alias="not")
    reason: Code | None = None

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        tests = (self.eq, self.ne, self.is_in, self.nin, self.ge, self.gt, self.le, self.lt, self.has, self.lacks)
        groups = sum(part is not None for part in (self.any_of, self.all_of, self.negated))
        tested = any(test is not None for test in tests)
        if self.fact is not None and (groups or not tested):
            raise PydanticCustomError("clause_without_test", "a clause on a fact needs a comparison and no group")
        if self.fact is None and (groups != 1 or tested or self.age is not None):
            raise PydanticCustomError("clause_shape", "a clause needs a fact or exactly one of any, all, not")
        if self.age is not None and self.fact != "party_count":
            raise PydanticCustomError("clause_age", "only party_count takes an age range")
        if self.any_of == () or self.all_of == ():
            raise PydanticCustomError("clause_empty", "an empty group says nothing")
        return self

    def walk(self) -> Iterator[Clause]:
        yield self
        for child in (*(self.any_of or ()), *(self.all_of or ()), *((self.negated,) if self.negated else ())):
            yield from child.walk()


class Who(Model):
    """What one person must be: age on the travel date, tags, cards held."""

    age: AgeRange | None = None
    tags: tuple[Code, ...] = ()
    lacks: tuple[Code, ...] = ()
    holds_any: tuple[Code, ...] = ()
    holds_none: tuple[Code, ...] = ()


class ByFact(Model):
    fact: Code
    map: Mapping[str, BasisPoints]


class PriceByFact(Model):
    fact: Code
    map: Mapping[str, Amount]


class SingleEffect(Model):
    """One way to change one person's price. Exactly one field is given."""

    bp: BasisPoints | None = None
    bp_by_family: Mapping[Code, BasisPoints] | None = None
    bp_by_size: tuple[tuple[Count, BasisPoints], ...] | None = None
    bp_by_fact: ByFact | None = None
    off: Amount | None = None
    price: Amount | None = None
    price_by_size: tuple[tuple[Count, Amount], ...] | None = None
    price_by_fact: PriceByFact | None = None
    free: Literal[True] | None = None
    none: Literal[True] | None = None

    def given(self) -> int:
        return sum(getattr(self, name) is not None for name in SingleEffect.model_fields)


class EffectCase(SingleEffect):
    when: tuple[Clause, ...] = ()

    @model_validator(mode="after")
    def _one_effect(self) -> Self:
        if self.given() != 1:
            raise PydanticCustomError("effect_count", "a case needs exactly one effect")
        return self


class Effect(SingleEffect):
    cases: tuple[EffectCase, ...] | None = None

    @model_validator(mode="after")
    def _one_effect(self) -> Self:
        if self.given() + (self.cases is not None) != 1:
            raise PydanticCustomError("effect_count", "an effect needs exactly one kind")
        return self

    @property
    def depends_on_size(self) -> bool:
        return any(one.bp_by_size is not None or one.price_by_size is not None for one in (self, *(self.cases or ())))


class Bound(Model):
    """A floor or cap on one person's price, with the conditions under which it holds."""

    amount: Amount
    roles: tuple[Code, ...] | None = None
    families: tuple[Code, ...] | None = None
    not_families: tuple[Code, ...] = ()
    when: tuple[Clause, ...] = ()


class Rounding(Model):
    mode: Literal["down", "nearest", "up"]
    step: Annotated[StrictInt, Field(ge=1, le=1_000_000)]


class Valid(Model):
    starts_on: date | None = Field(None, alias="from")
    ends_on: date | None = Field(None, alias="to")


class Trigger(Model):
    public: Literal[True] | None = None
    card: Code | tuple[Code, ...] | None = None
    code: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_trigger(self) -> Self:
        if sum(part is not None for part in (self.public, self.card, self.code)) != 1:
            raise PydanticCustomError("trigger_count", "a rule has exactly one trigger")
        return self

    @property
    def cards(self) -> tuple[str, ...]:
        if self.card is None:
            return ()
        return (self.card,) if isinstance(self.card, str) else self.card


class Role(Model):
    name: Code
    anchor: bool = False
    holds: bool = False
    min: Count
    max: Count
    who: Who = Who()
    who_reason: Code | None = None
    effect: Effect | None = None
    capacity: Mapping[Code, Count] | None = None
    pool: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise PydanticCustomError("min_above_max", "min above max")
        if self.anchor != (self.capacity is not None):
            raise PydanticCustomError("anchor_capacity", "an anchor, and only an anchor, has a capacity")
        return self


class Size(Model):
    min: Count
    max: Count
    roles: tuple[Code, ...] | None = None


class Kin(Model):
    role: Code
    of: Code
    via: Literal["parents", "card_with"]
    card: Code | None = None


class Bundle(Model):
    type: Literal["bundle"]
    table: Mapping[str, Amount]

    def price_of(self, payers: int) -> int | None:
        return self.table.get(str(payers))


class PayFor(Model):
    type: Literal["pay_for"]
    n: Annotated[StrictInt, Field(ge=2, le=PEOPLE_MAX)]
    pay: Annotated[StrictInt, Field(ge=0, le=PEOPLE_MAX)]

    @model_validator(mode="after")
    def _some_free(self) -> Self:
        if self.pay >= self.n:
            raise PydanticCustomError("pay_not_below_n", "pay must be below n")
        return self


class NthOff(Model):
    type: Literal["nth_off"]
    start: Annotated[StrictInt, Field(ge=1, le=PEOPLE_MAX, alias="from")]
    bp: BasisPoints


Pool = Annotated[Bundle | PayFor | NthOff, Field(discriminator="type")]


class Source(Model):
    url: str | None = None
    dated: str | None = None
    kind: str | None = None
    note: str | None = None


class _Described(Model):
    id: Code
    title: str | None = None
    operator: str | None = None
    summary: str | None = None
    sources: tuple[Source, ...] = ()
    confidence: str | None = None
    assumes: str | None = None


class StatedFact(_Described):
    """An entry that states a fact of the trade and is not executed."""

    executable: Literal[False]


class _Executable(_Described):
    executable: Literal[True] = True
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3}|any)$")]
    trigger: Trigger
    layer: Annotated[StrictInt, Field(ge=0, le=1_000)]
    rule_class: Code = Field(alias="class")
    stacks_with: tuple[str, ...] = ()
    no_promo: bool = False
    families: Families = "*"
    valid: Valid | None = None
    when: tuple[Clause, ...] = ()
    floor: tuple[Bound, ...] = ()
    cap: tuple[Bound, ...] = ()
    round: Rounding | None = None
    gated: bool = False

    def takes_family(self, family: str) -> bool:
        return self.families == "*" or family in self.families

    def stacks(self, other: _Executable) -> bool:
        """Whether this rule lets `other` meet it on one person. Both must say so."""
        if other.rule_class in self.stacks_with or "*" in self.stacks_with:
            return True
        return other.rule_class == "promo" and not self.no_promo


class SelfRule(_Executable):
    """One person's own discount."""

    scope: Literal["self"]
    who: Who = Who()
    who_reason: Code | None = None
    effect: Effect

    @model_validator(mode="after")
    def _no_size(self) -> Self:
        if self.effect.depends_on_size:
            raise PydanticCustomError("personal_by_size", "a personal rule has no group size")
        return self


class JointRule(_Executable):
    """A discount of several people, in roles."""

    scope: Literal["joint"]
    roles: Annotated[tuple[Role, ...], Field(min_length=1, max_length=8)]
    size: Size | None = None
    kin: Kin | None = None
    household: Literal["same"] | None = None
    app_when: tuple[Clause, ...] = ()
    pool: Pool | None = None
    anchor_excludes: tuple[Code, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [role.name for role in self.roles]
        if len(set(names)) != len(names):
            raise PydanticCustomError("role_twice", "two roles of one name")
        named = [*(self.size.roles or () if self.size else ()), *((self.kin.role, self.kin.of) if self.kin else ())]
        named += [role for bound in (*self.floor, *self.cap) for role in bound.roles or ()]
        named += [role for one in self.roles for role in one.capacity or ()]
        for name in named:
            if name not in names:
                raise PydanticCustomError("role_unknown", "unknown role {name}", {"name": name})
        return self

    @cached_property
    def anchor(self) -> Role | None:
        return next((role for role in self.roles if role.anchor), None)

    @cached_property
    def counted_roles(self) -> tuple[str, ...]:
        if self.size is not None and self.size.roles is not None:
            return self.size.roles
        return tuple(role.name for role in self.roles if not role.anchor)


class OrderEffect(Model):
    bp: BasisPoints | None = None
    off: Amount | None = None
    cheapest_free_per: Annotated[StrictInt, Field(ge=2, le=PEOPLE_MAX)] | None = None
    min_basket: Amount | None = None
    max_off: Amount | None = None
    min_items: Count | None = None
    families: tuple[Code, ...] | None = None
    excludes_classes: tuple[Code, ...] = ()

    @model_validator(mode="after")
    def _one_effect(self) -> Self:
        if sum(part is not None for part in (self.bp, self.off, self.cheapest_free_per)) != 1:
            raise PydanticCustomError(
                "order_effect_count", "an order rule needs exactly one of bp, off, cheapest_free_per"
            )
        return self


class OrderRule(_Executable):
    """A discount on the whole basket."""

    scope: Literal["order"]
    order: OrderEffect
    exclusive: bool = False


Rule = SelfRule | JointRule | OrderRule


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "stated" if value.get("executable") is False else str(value.get("scope"))
    return "stated" if isinstance(value, StatedFact) else str(getattr(value, "scope", None))


Entry = Annotated[
    Annotated[StatedFact, Tag("stated")]
    | Annotated[SelfRule, Tag("self")]
    | Annotated[JointRule, Tag("joint")]
    | Annotated[OrderRule, Tag("order")],
    Discriminator(_kind),
]


class Catalogue(Model):
    """A merchant's rules. Ids are unique; an entry that only states a fact is kept but never priced."""

    schema_name: str | None = Field(None, alias="schema")
    made: str | None = None
    note: str | None = None
    rules: Annotated[tuple[Entry, ...], Field(max_length=RULES_MAX)]

    @model_validator(mode="after")
    def _unique(self) -> Self:
        ids = [rule.id for rule in self.rules]
        twice = {id for id in ids if ids.count(id) > 1} if len(set(ids)) != len(ids) else set()
        if twice:
            raise PydanticCustomError("id_twice", "id given twice: {id}", {"id": sorted(twice)[0]})
        return self

    @property
    def executable(self) -> dict[str, Rule]:
        return {rule.id: rule for rule in self.rules if not isinstance(rule, StatedFact)}


_CATALOGUE = TypeAdapter(Catalogue)


def parse_catalogue(document: object) -> Catalogue:
    """Read a catalogue.

    Raises:
        CatalogueInvalid: every broken field, with a pointer and the rule's id.
    """
    if _depth(document) > DEPTH_MAX * 3:
        raise CatalogueInvalid([Problem("", "too_deep")])
    try:
        return _CATALOGUE.validate_python(document)
    except ValidationError as error:
        raise CatalogueInvalid(problems_of(error, document)) from None


def problems_of(error: ValidationError, document: object) -> list[Problem]:
    """Pydantic's findings as JSON pointers. Union tags are no part of the document, so they are left out."""
    problems = []
    for found in error.errors(include_url=False, include_input=False, include_context=False)[:50]:
        pointer, here, rule = "", document, None
        for part in found["loc"]:
            inside, child = _child(here, part)
            if inside:
                here = child
            elif found["type"] not in ("missing", "extra_forbidden") or part != found["loc"][-1]:
                continue
            pointer += "/" + str(part).replace("~", "~0").replace("/", "~1")
            if rule is None and isinstance(here, Mapping) and isinstance(here.get("id"), str):
                rule = here["id"]
        problems.append(Problem(pointer, found["type"], rule, found["msg"]))
    return problems


def _child(here: object, part: int | str) -> tuple[bool, object]:
    if isinstance(here, Mapping):
        return part in here, here.get(part)
    if isinstance(here, list | tuple) and isinstance(part, int) and part < len(here):
        return True, here[part]
    return False, None


def unsupported(catalogue: Catalogue) -> list[Problem]:
    """What the engine cannot price yet, one problem per place. Empty: every rule is priced exactly."""
    problems = []
    for index, rule in enumerate(catalogue.rules):
        if isinstance(rule, StatedFact):
            continue
        here = f"/rules/{index}"
        problems += [Problem(here + path, code, rule.id) for path, code in _limits_of(rule)]
    return problems


def require_supported(catalogue: Catalogue) -> None:
    """Raises:
    RulesUnsupported: at least one rule cannot be priced exactly; all are named.
    """
    problems = unsupported(catalogue)
    if problems:
        raise RulesUnsupported(problems)


def _limits_of(rule: Rule) -> Iterator[tuple[str, str]]:
    for index, clause in enumerate(rule.when):
        if any(_falls_with_party(part) for part in clause.walk()):
            # A right that ends when somebody joins would make "nobody pays more than alone" impossible.
            yield f"/when/{index}", "party_maximum_unsupported"
    if isinstance(rule, JointRule) and any(role.anchor for role in rule.roles):
        anchors = [role for role in rule.roles if role.anchor]
        others = [role for role in rule.roles if not role.anchor]
        if (
            len(anchors) != 1
            or anchors[0].min != 1
            or anchors[0].max != 1
            or not others
            or any(role.max != 1 or role.name not in (anchors[0].capacity or {}) for role in others)
        ):
            yield "/roles", "anchor_shape_unsupported"
        if rule.pool is not None or rule.size is not None or rule.gated:
            yield "/roles", "anchor_shape_unsupported"


def _falls_with_party(clause: Clause) -> bool:
    if clause.negated is not None and any(part.fact in ("party", "party_count") for part in clause.negated.walk()):
        return True
    if clause.fact not in ("party", "party_count"):
        return False
    return any(test is not None for test in (clause.eq, clause.ne, clause.is_in, clause.nin, clause.le, clause.lt))


def _depth(value: object, so_far: int = 0) -> int:
    if so_far > 100:
        return so_far
    if isinstance(value, Mapping):
        return max((_depth(child, so_far + 1) for child in value.values()), default=so_far)
    if isinstance(value, list):
        return max((_depth(child, so_far + 1) for child in value), default=so_far)
    return so_far
