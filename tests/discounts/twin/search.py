"""Every lawful way to split the party into applications; the cheapest total, and all assignments that reach it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.discounts.twin.applications import Application, joint_applications, own_tickets
from tests.discounts.twin.facts import Rule
from tests.discounts.twin.orders import Code, code_sets, discounts, eligible, usable_codes
from tests.discounts.twin.tickets import Ticket
from tests.discounts.twin.world import Item, World, anchor_of

Assignment = tuple[Application, ...]
INFINITE = 1 << 60


class Search:
    """One enumeration: of everything, or of what uses the `forced` item."""

    def __init__(self, world: World, alone: list[int], forced: Item | None = None) -> None:
        self.world, self.forced = world, forced
        self.rule_of = {rule["id"]: rule for rule in world.rules}
        self.codes = usable_codes(world)
        self.sets = [codes for codes in code_sets(self.codes) if self._keeps_force(codes)]
        self.excluded = {name for rule in world.rules for name in rule.get("anchor_excludes", [])}
        self.starting: list[list[Application]] = [[] for _ in world.places]
        for place in world.places:
            self.starting[place] += own_tickets(world, place, self._signature)
        for rule, by in world.items:
            if rule["scope"] == "joint" and world.rule_fault(rule) is None:
                for application in joint_applications(world, rule, by, self._signature, alone):
                    self.starting[application.members[0]].append(application)
        for applications in self.starting:
            applications.sort(key=lambda application: application.cost)

    def offers(self, item: Item) -> bool:
        """Somebody could use this, were it not for what is scarce."""
        return any(item in used_items((one,)) for applications in self.starting for one in applications)

    def _keeps_force(self, codes: list[Code]) -> bool:
        is_code = self.forced is not None and self.rule_of[self.forced[0]]["scope"] == "order"
        return not is_code or self.forced in [(code.rule["id"], code.by) for code in codes]

    def _signature(self, ticket: Ticket, rule: Rule | None) -> Any:
        """What of a ticket matters beside its price; with codes the price does too: a dearer basket may be cheaper."""
        return (
            ticket.family if ticket.family in self.world.quota else None,
            tuple(id for id, _ in sorted(ticket.uses) if f"rule:{id}" in self.world.quota),
            ticket.classes & self.excluded,
            self.forced in ticket.uses,
            (ticket.price, ticket.family, ticket.classes) if self.codes else None,
        )

    def total(self) -> int:
        """The cheapest total, or INFINITE if nothing lawful exists."""
        if self.codes:
            return min((self._basket_total(basket) for basket in self.baskets()), default=INFINITE)
        found = [INFINITE]  # each one found is cheaper than the one before
        for assignment in self._assignments(lambda: found[-1] - 1):
            found.append(sum(application.cost for application in assignment))
        return found[-1]

    def optima(self, best: int) -> Iterator[tuple[Assignment, list[Code], list[list[int]]]]:
        """Every assignment with every set of codes that costs exactly `best`, and what the codes take off."""
        for assignment in self._assignments(lambda: INFINITE if self.codes else best):
            amounts = self.amounts(assignment)
            for codes in self.sets:
                taken = discounts(codes, amounts, self._marks(assignment))
                if taken is not None and sum(amounts) - sum(map(sum, taken)) == best:
                    yield assignment, codes, taken

    def amounts(self, assignment: Assignment) -> list[int]:
        """Everybody's line before codes, in party order."""
        faces = {place: face for one in assignment for place, face in zip(one.members, one.faces, strict=True)}
        return [faces[place] for place in self.world.places]

    def _marks(self, assignment: Assignment) -> list[set[str]]:
        """For each person, the codes' rules that count their line."""
        marks: list[set[str]] = [set() for _ in self.world.places]
        for application in assignment:
            joint = self.rule_of[application.item[0]] if application.item else None
            for at, place in enumerate(application.members):
                marks[place] = {c.rule["id"] for c in self.codes if eligible(c.rule, application, at, joint)}
        return marks

    def baskets(self) -> set[Any]:
        """The different baskets of amounts and marks; who pays which line does not matter to the total."""
        found = set()
        for assignment in self._assignments(lambda: INFINITE):
            lines = zip(self.amounts(assignment), self._marks(assignment), strict=True)
            found.add(tuple(sorted((amount, tuple(sorted(marks))) for amount, marks in lines)))
        return found

    def _basket_total(self, basket: Any) -> int:
        amounts, marks = [amount for amount, _ in basket], [set(names) for _, names in basket]
        all_taken = [discounts(codes, amounts, marks) for codes in self.sets]
        return min((sum(amounts) - sum(map(sum, taken)) for taken in all_taken if taken is not None), default=INFINITE)

    def _assignments(self, limit: Any) -> Iterator[Assignment]:
        """Every lawful assignment of at most `limit()`: the first person who is left gets everything they can be in."""
        least: dict[tuple[frozenset[int], bool], int] = {(frozenset(), False): 0, (frozenset(), True): INFINITE}

        def at_least(left: frozenset[int], is_owed: bool) -> int:
            """The cheapest split of `left` when nothing is scarce, using the forced item if that is still owed."""
            if (left, is_owed) not in least:
                rest = [(one, left.difference(one.members)) for one in self._starting_in(left)]
                costs = [one.cost + at_least(others, is_owed and not self._is_forced(one)) for one, others in rest]
                least[left, is_owed] = min(costs, default=INFINITE)
            return least[left, is_owed]

        def go(left: frozenset[int], chosen: Assignment, cost: int, is_owed: bool) -> Iterator[Assignment]:
            if at_least(left, is_owed) >= INFINITE or cost + at_least(left, is_owed) > limit():
                return
            if not left:
                yield chosen
            for one in self._starting_in(left):
                if self._lawful((*chosen, one)):
                    owed = is_owed and not self._is_forced(one)
                    yield from go(left.difference(one.members), (*chosen, one), cost + one.cost, owed)

        is_code = self.forced is not None and self.rule_of[self.forced[0]]["scope"] == "order"
        return go(frozenset(self.world.places), (), 0, self.forced is not None and not is_code)

    def _starting_in(self, left: frozenset[int]) -> list[Application]:
        """What the first of those left can be in without anybody else."""
        return [one for one in self.starting[min(left)] if left.issuperset(one.members)] if left else []

    def _is_forced(self, one: Application) -> bool:
        return self.forced in used_items((one,))

    def _lawful(self, chosen: Assignment) -> bool:
        """Nothing scarce is used too often, and no anchor rides on a ticket that cannot anchor."""
        used: Counter[Any] = Counter()
        room: dict[Any, int] = dict(self.world.quota)
        classes = {place: one.tickets[at].classes for one in chosen for at, place in enumerate(one.members)}
        for one in chosen:
            used.update(ticket.family for ticket in one.tickets if ticket.family)
            used.update(f"rule:{id}" for ticket in one.tickets for id, _ in ticket.uses)
            if one.item is None:
                continue
            rule = self.rule_of[one.item[0]]
            used[f"rule:{one.item[0]}"] += 1
            anchor = anchor_of(rule)
            if anchor is None:
                if one.item[1] != "public":
                    used[one.item] += 1
                    room[one.item] = 1
                continue
            if classes.get(one.anchor, frozenset()) & set(rule.get("anchor_excludes", [])):  # type: ignore[arg-type]
                return False
            slots: list[Any] = [(*one.item, one.anchor, one.role)]
            if one.item[1] != "public":
                slots.append((*one.item, one.role))  # one card in two hands is still one card
            for slot in slots:
                used[slot] += 1
                room[slot] = anchor["capacity"][one.role]
        return all(used[name] <= most for name, most in room.items())


def used_items(chosen: Assignment) -> set[Item]:
    """The cards, codes and offers an assignment uses, without the order codes."""
    joint = {one.item for one in chosen if one.item}
    return joint.union(*(ticket.uses for one in chosen for ticket in one.tickets))
