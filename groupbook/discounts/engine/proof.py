"""The proof of an optimum: for every admissible set of codes a branching tree with dual prices at each leaf.

A leaf proves a lower bound of the total by weak duality; a branch splits what is lawful in two on something that can be
counted. All multipliers are integers over one `scale`, so the proof is checked exactly, with no solver: see `check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

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
)

from groupbook.discounts.engine.errors import ProofBroken

Resource = tuple[str, ...]


@dataclass(frozen=True)
class Feature:
    """Something countable about an assignment. None and () mean any.

    rule: id of the joint rule; None: people's own tickets.
    by: the application's trigger is one of these.
    sizes: the counted size of the application lies within these (rules without an anchor).
    pivot: pay_for only: the price of its dearest free member.
    seats: count people instead of applications; then `role`, `people` and `ticket` (family, then the rules that changed
        its price, in order) narrow which.
    """

    rule: str | None
    by: tuple[str, ...] = ()
    sizes: tuple[int, int] | None = None
    pivot: int | None = None
    seats: bool = False
    role: str | None = None
    people: tuple[int, ...] = ()
    ticket: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Leaf:
    """Dual prices, over the certificate's scale: people of any sign, resources >= 0, one per branch above (root first).

    A branch taken on its low side has a price <= 0, on its high side >= 0. With order codes: `pieces` are >= 0 and add
    up to no more than the scale, `basket` are >= 0, one per minimum row.
    """

    people: tuple[int, ...]
    resources: tuple[tuple[Resource, int], ...] = ()
    branches: tuple[int, ...] = ()
    pieces: tuple[int, ...] = ()
    basket: tuple[int, ...] = ()


@dataclass(frozen=True)
class Branch:
    """Two halves of what is lawful. `low`: at most `at` of the feature; `high`: at least `at + 1`."""

    feature: Feature
    at: int
    low: Branch | Leaf
    high: Branch | Leaf


Tree = Branch | Leaf


@dataclass(frozen=True)
class Plan:
    """The proof for one admissible set of codes (rule, owner). Without a tree the checker has to count for itself."""

    codes: tuple[tuple[str, str], ...]
    tree: Tree | None


@dataclass(frozen=True)
class Certificate:
    """`bound` is a proven lower limit of the total, in minor units; `optimal` when it equals the total."""

    optimal: bool
    bound: int
    scale: int = 1
    granularity: int = 1
    plans: tuple[Plan, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """The proof as JSON; defaults are left out."""
        return {
            "optimal": self.optimal,
            "bound": self.bound,
            "scale": self.scale,
            "granularity": self.granularity,
            "plans": [
                {"codes": [list(code) for code in plan.codes], "tree": None if plan.tree is None else _tree(plan.tree)}
                for plan in self.plans
            ],
        }


def parse_certificate(document: object) -> Certificate:
    """Read a proof back from JSON.

    Raises:
        ProofBroken: a field is missing or wrong; with a pointer.
    """
    try:
        return _CERTIFICATE.validate_python(document).value()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[0]
        pointer = "".join(f"/{part}" for part in found["loc"] if part not in ("branch", "leaf"))
        raise ProofBroken(reason="malformed", pointer=pointer) from None
    except RecursionError:
        raise ProofBroken(reason="too_deep", pointer="") from None


def _tree(node: Tree) -> dict[str, Any]:
    """Iterative, because a long search has a deep tree."""
    root: dict[str, Any] = {}
    left: list[tuple[Tree, dict[str, Any]]] = [(node, root)]
    while left:
        one, into = left.pop()
        if isinstance(one, Leaf):
            into["people"] = list(one.people)
            if one.resources:
                into["resources"] = [[list(key), price] for key, price in one.resources]
            into |= {name: list(getattr(one, name)) for name in ("branches", "pieces", "basket") if getattr(one, name)}
        else:
            into |= {"feature": _feature(one.feature), "at": one.at, "low": {}, "high": {}}
            left += [(one.low, into["low"]), (one.high, into["high"])]
    return root


def _feature(feature: Feature) -> dict[str, Any]:
    found: dict[str, Any] = {"rule": feature.rule}
    for name in ("by", "sizes", "people", "ticket"):
        if getattr(feature, name):
            found[name] = list(getattr(feature, name))
    for name in ("pivot", "role"):
        if getattr(feature, name) is not None:
            found[name] = getattr(feature, name)
    return {**found, "seats": True} if feature.seats else found


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _FeatureDocument(_Document):
    rule: str | None
    by: tuple[str, ...] = ()
    sizes: tuple[StrictInt, StrictInt] | None = None
    pivot: StrictInt | None = None
    seats: StrictBool = False
    role: str | None = None
    people: tuple[StrictInt, ...] = ()
    ticket: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    def value(self) -> Feature:
        return Feature(**dict(self))


class _LeafDocument(_Document):
    people: tuple[StrictInt, ...]
    resources: tuple[tuple[Resource, StrictInt], ...] = ()
    branches: tuple[StrictInt, ...] = ()
    pieces: tuple[StrictInt, ...] = ()
    basket: tuple[StrictInt, ...] = ()

    def value(self) -> Leaf:
        return Leaf(**dict(self))


class _BranchDocument(_Document):
    feature: _FeatureDocument
    at: StrictInt
    low: _TreeDocument
    high: _TreeDocument

    def value(self) -> Branch:
        return Branch(self.feature.value(), self.at, self.low.value(), self.high.value())


def _kind(value: Any) -> Literal["branch", "leaf"]:
    return "branch" if isinstance(value, Mapping) and "feature" in value else "leaf"


_TreeDocument = Annotated[
    Annotated[_BranchDocument, Tag("branch")] | Annotated[_LeafDocument, Tag("leaf")], Discriminator(_kind)
]


class _PlanDocument(_Document):
    codes: tuple[tuple[str, str], ...]
    tree: _TreeDocument | None

    def value(self) -> Plan:
        return Plan(self.codes, None if self.tree is None else self.tree.value())


class _CertificateDocument(_Document):
    optimal: StrictBool
    bound: StrictInt
    scale: Annotated[StrictInt, Field(ge=1)]
    granularity: Annotated[StrictInt, Field(ge=1)]
    plans: tuple[_PlanDocument, ...]

    def value(self) -> Certificate:
        plans = tuple(plan.value() for plan in self.plans)
        return Certificate(self.optimal, self.bound, self.scale, self.granularity, plans)


_BranchDocument.model_rebuild()
_CERTIFICATE = TypeAdapter(_CertificateDocument)
