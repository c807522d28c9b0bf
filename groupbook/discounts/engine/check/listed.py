"""Applications one by one, for branches that count a very group of people."""

from __future__ import annotations

from collections.abc import Mapping

from groupbook.discounts.engine.check.count import Filled
from groupbook.discounts.engine.check.ground import Ground, Usage
from groupbook.discounts.engine.check.prices import NOTHING, Priced, Prices, counts_seat, counts_variant, is_group
from groupbook.discounts.engine.proof import Feature
from groupbook.discounts.engine.rules import Bundle, JointRule, PayFor


class Listed:
    """One application, written out."""

    def __init__(self, ground: Ground, rule: JointRule, chosen: Mapping[int, Filled], usage: Usage) -> None:
        self.chosen = chosen
        self.usage = usage
        self.size = sum(role.name in rule.counted_roles for role, _ in chosen.values())
        pooled = [seat for role, seat in chosen.values() if rule.pool is not None and role.pool]
        self.whole = ground.whole(rule, [seat.ticket for seat in pooled])
        self.codes = pooled[0].codes if pooled else NOTHING
        self.pooled = rule.pool is not None
        self.pivot: int | None = len(pooled) if isinstance(rule.pool, Bundle) else None
        if isinstance(rule.pool, PayFor):
            gifts = len(pooled) // rule.pool.n * (rule.pool.n - rule.pool.pay)
            self.pivot = sorted(seat.price for seat in pooled)[gifts - 1]

    def reduced(self, prices: Prices, features: Priced) -> int:
        """The reduced cost."""
        cost = prices.amount(self.whole, self.codes, 0) + prices.used(self.usage)
        for person, (role, seat) in self.chosen.items():
            amount = 0 if self.pooled and role.pool else seat.price
            cost += prices.amount(amount, seat.codes) + prices.used(seat.usage) - prices.people[person]
        return cost - sum(price * self._count(feature) for feature, price in features)

    def _count(self, feature: Feature) -> int:
        if not counts_variant(feature, (self.size, self.size), self.pivot):
            return 0
        if feature.seats:
            return sum(counts_seat(feature, role.name, person, seat) for person, (role, seat) in self.chosen.items())
        return not is_group(feature) or set(feature.people) == set(self.chosen)
