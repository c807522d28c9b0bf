"""The independent checker: an answer is lawful, and nothing lawful is cheaper than its proof says. No solver.

It reads rules through the same interpreter as the engine and derives everything else for itself: what a column is,
what is scarce, how little a column can cost at given dual prices, and what codes leave of an order. Explanations
(`rejected`, `unused`) are no part of the proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groupbook.discounts.engine.cases import Case
from groupbook.discounts.engine.check.answer import require_lawful
from groupbook.discounts.engine.check.plans import proven
from groupbook.discounts.engine.errors import ProofBroken

if TYPE_CHECKING:
    from groupbook.discounts.engine.price import Priced


def verify(case: Case, priced: Priced) -> None:
    """Check an answer and its proof, exactly.

    Raises:
        ProofBroken: the answer is not lawful, or the proof does not show what it claims; the first reason found.
    """
    require_lawful(case, priced)
    proof = priced.proof
    bound = proven(case, [priced.people[one.id].alone for one in case.travelers], proof)
    if bound is None or bound < proof.bound:
        raise ProofBroken(reason="bound", pointer="/proof/bound")
    if proof.bound > priced.total or proof.optimal != (proof.bound == priced.total):
        raise ProofBroken(reason="optimal", pointer="/proof/optimal")


__all__ = ["verify"]
