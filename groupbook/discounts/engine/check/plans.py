"""The second half of a proof: nothing lawful is cheaper than the bound, whatever codes are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.check.basket import admissible
from groupbook.discounts.engine.check.bound import Bound
from groupbook.discounts.engine.check.count import least_total
from groupbook.discounts.engine.check.ground import Ground
from groupbook.discounts.engine.check.prices import Turn
from groupbook.discounts.engine.errors import ProofBroken
from groupbook.discounts.engine.market import Market
from groupbook.discounts.engine.proof import Certificate, Feature, Leaf, Plan, Tree
from groupbook.discounts.engine.rules import JointRule


def proven(case: Case, alone: Sequence[int], proof: Certificate) -> int | None:
    """The bound of the total that the proof holds up, minor units; None when nothing is lawful at all.

    Raises:
        ProofBroken: a plan is missing, or a leaf is not what the proof may contain.
    """
    if proof.scale < 1 or proof.granularity < 1:
        raise ProofBroken(reason="scale", pointer="/proof")
    given = {frozenset(plan.codes): (at, plan) for at, plan in enumerate(proof.plans)}
    if len(given) != len(proof.plans) or any(len(set(plan.codes)) != len(plan.codes) for plan in proof.plans):
        raise ProofBroken(reason="plan_twice", pointer="/proof/plans")
    bounds = []
    for basket in admissible(case, {rule.id for rule in Market(case).in_force}):
        if basket.names not in given:
            raise ProofBroken(reason="plan_missing", pointer="/proof/plans")
        at, plan = given.pop(basket.names)
        bounds.append(_planned(Ground(case, basket), alone, plan, proof, f"/proof/plans/{at}"))
    if given:
        raise ProofBroken(reason="plan_unknown", pointer=f"/proof/plans/{min(at for at, _ in given.values())}")
    return min((bound for bound in bounds if bound is not None), default=None)


def _planned(ground: Ground, alone: Sequence[int], plan: Plan, proof: Certificate, pointer: str) -> int | None:
    """The bound of one plan: the least of its leaves, rounded up to what a total can be."""
    if plan.tree is None:
        return least_total(ground, alone, pointer=pointer)
    bound, step = Bound(ground), 1 if ground.basket.codes else proof.granularity
    if step > 1 and bound.variants.granularity() % step:
        raise ProofBroken(reason="granularity", pointer="/proof/granularity")
    found = []
    for leaf, path, where in _leaves(ground, plan.tree, f"{pointer}/tree"):
        _require_leaf(ground, leaf, path, proof.scale, where)
        amount, unit = bound.of(leaf, path, proof.scale)
        found.append(-(-amount // (unit * step)) * step)
    return min(found)


def _leaves(ground: Ground, tree: Tree, pointer: str) -> Iterator[tuple[Leaf, tuple[Turn, ...], str]]:
    """Every leaf with the branches above it, root first."""
    left: list[tuple[Tree, tuple[Turn, ...], str]] = [(tree, (), pointer)]
    while left:
        node, path, where = left.pop()
        if isinstance(node, Leaf):
            yield node, path, where
            continue
        if not _countable(ground, node.feature):
            raise ProofBroken(reason="feature", pointer=f"{where}/feature")
        low, high = Turn(node.feature, False, node.at), Turn(node.feature, True, node.at + 1)
        left += [(node.high, (*path, high), f"{where}/high"), (node.low, (*path, low), f"{where}/low")]


def _countable(ground: Ground, feature: Feature) -> bool:
    """Whether a feature is a number of every assignment, so that the two sides of a branch cover all of them."""
    if any(person not in ground.people for person in feature.people):
        return False
    if not feature.seats and (feature.role is not None or feature.ticket is not None):
        return False
    if feature.rule is None:
        bare = feature.seats or not feature.people
        return bare and not (feature.by or feature.sizes or feature.pivot is not None or feature.role is not None)
    rule = next((one for one in ground.case.rules if one.id == feature.rule), None)
    return isinstance(rule, JointRule) and (feature.seats or not feature.people or rule.anchor is None)


def _require_leaf(ground: Ground, leaf: Leaf, path: Sequence[Turn], scale: int, pointer: str) -> None:
    """Raises:
    ProofBroken: a price is missing, of a thing that is not scarce, or of a sign that proves nothing.
    """
    pieces = len(ground.basket.pieces[1]) if ground.basket.codes else 0
    shape = (len(leaf.people), len(leaf.branches), len(leaf.pieces), len(leaf.basket))
    if shape != (len(ground.people), len(path), pieces, len(ground.basket.rows)):
        raise ProofBroken(reason="leaf_shape", pointer=pointer)
    keys = [key for key, _ in leaf.resources]
    if len(set(keys)) != len(keys) or any(key not in ground.capacities for key in keys):
        raise ProofBroken(reason="resource", pointer=f"{pointer}/resources")
    if any(price < 0 for _, price in leaf.resources):
        raise ProofBroken(reason="sign", pointer=f"{pointer}/resources")
    if any((price < 0) if turn.high else (price > 0) for turn, price in zip(path, leaf.branches, strict=True)):
        raise ProofBroken(reason="sign", pointer=f"{pointer}/branches")
    if any(price < 0 for price in (*leaf.pieces, *leaf.basket)):
        raise ProofBroken(reason="sign", pointer=f"{pointer}/pieces")
    # What is left to pay is never negative, so less than the whole scale of it is a lower bound too.
    if sum(leaf.pieces) > scale:
        raise ProofBroken(reason="pieces", pointer=f"{pointer}/pieces")
