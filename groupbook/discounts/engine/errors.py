"""What can be wrong with a catalogue, a case or a party. Codes and pointers only; sentences are made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from groupbook.kit.errors import Invalid


@dataclass(frozen=True)
class Problem:
    """One field that is wrong: `pointer` is a JSON pointer into the document, `rule` the id when there is one."""

    pointer: str
    code: str
    rule: str | None = None
    detail: str | None = None

    def as_params(self) -> dict[str, str | None]:
        return {"pointer": self.pointer, "code": self.code, "rule": self.rule, "detail": self.detail}


class DiscountError(Invalid):
    """Something about rules, cases or parties that will stay wrong."""

    code: ClassVar[str] = "discount_invalid"


class _Problems(DiscountError):
    def __init__(self, problems: list[Problem]) -> None:
        first = problems[0]
        super().__init__(pointer=first.pointer, problems=[problem.as_params() for problem in problems])
        self.problems = tuple(problems)


class CatalogueInvalid(_Problems):
    """The catalogue does not follow the schema."""

    code = "catalogue_invalid"


class RulesUnsupported(_Problems):
    """The rules are well formed, but this engine cannot price them yet. Refused, never ignored."""

    code = "rules_unsupported"


class CaseInvalid(_Problems):
    """The case does not follow the schema."""

    code = "case_invalid"


class TooManyCombinations(DiscountError):
    """The budget of the exact search was reached before a proof. No guess is given instead."""

    code = "too_many_combinations"


class NoOwnFare(DiscountError):
    """A traveler has no fare that may be bought alone, so nothing bounds what they would pay."""

    code = "no_own_fare"


class ProofBroken(DiscountError):
    """The answer is not lawful or its proof does not hold: `reason` says what, `pointer` where in the answer."""

    code = "proof_broken"

    def __init__(self, reason: str, pointer: str) -> None:
        super().__init__(reason=reason, pointer=pointer)
        self.reason = reason
