"""Who and what is alike: people merged into types, cards into classes, anchors into pools.

Merging is exact. Two people are one type when nothing in the case tells them apart; cards of one rule are one class
if each has one holder and the holders are one type; anchors are one pool when whoever may ride on one may ride on all.
Kinship tells everybody apart whom it touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groupbook.discounts.engine.market import Joint, Market, Resource
from groupbook.discounts.engine.rules import JointRule, Role


@dataclass(frozen=True)
class Pool:
    """Anchors (by, person) of one role of a rule on whom the same `people` may ride.

    rows: the numbers of the resources that limit the pool, row by row. alone: (anchor who may also ride, the slots of
    the others), where a ticket can take an anchor's slots away: nobody rides on themselves.
    """

    rule: JointRule
    role: Role
    anchors: tuple[tuple[str, int], ...]
    people: frozenset[int]
    rows: tuple[tuple[int, ...], ...]
    alone: tuple[tuple[int, tuple[int, ...]], ...] = ()


class Kinds:
    """The types, classes and pools of a market. `apart`: the anchors of this (rule, by) are like no others."""

    def __init__(self, market: Market, apart: tuple[str, str] | None = None) -> None:
        self.market = market
        self._kept_apart = apart
        self.names: dict[int, Resource] = {number: key for key, number in market.resources.items()}
        self._joints: dict[str, list[Joint]] = {}
        for joint in market.joints:
            self._joints.setdefault(joint.rule.id, []).append(joint)
        self.pools = [
            pool
            for joints in self._joints.values()
            if joints[0].rule.anchor is not None
            for role in joints[0].roles()
            for pool in self._pools(joints, role)
        ]
        self.type_of, self.types = self._types()
        self.classes = [
            one for joints in self._joints.values() if joints[0].rule.anchor is None for one in self._classes(joints)
        ]

    # --- pools ------------------------------------------------------------------------------------------------------

    def _pools(self, joints: Sequence[Joint], role: Role) -> list[Pool]:
        rule = joints[0].rule
        takers = joints[0].people[role.name]
        if not takers or not self.market.facts.with_application({role.name: 1}).all_hold(rule.app_when):
            return []
        anchor = rule.anchor.name if rule.anchor else ""
        entries = [(joint, one) for joint in joints for one in joint.people[anchor]]
        if rule.kin is not None or rule.household is not None:
            return self._linked_pools(joints, role)
        shared = [
            joint
            for joint in joints
            if (rule.id, joint.by) == self._kept_apart or (joint.by != "public" and len(joint.people[anchor]) > 1)
        ]
        groups = [[(joint, one) for one in joint.people[anchor]] for joint in shared]
        groups.append([(joint, one) for joint, one in entries if joint not in shared])
        return [self._merged_pool(group, role) for group in groups if group]

    def _linked_pools(self, joints: Sequence[Joint], role: Role) -> list[Pool]:
        """One pool per anchor, with those who belong to them."""
        found = []
        for joint in joints:
            riders: dict[int, list[int]] = {}
            for person in joint.people[role.name]:
                for anchor in self.market.anchors_for(joint, role, person):
                    riders.setdefault(anchor, []).append(person)
            for anchor, people in sorted(riders.items()):
                numbers = (*self._slots([(joint, anchor)], role), *self._card_slots(joint, role))
                rows = tuple((number,) for number in numbers)
                found.append(Pool(joint.rule, role, ((joint.by, anchor),), frozenset(people), rows))
        return found

    def _merged_pool(self, entries: Sequence[tuple[Joint, int]], role: Role) -> Pool:
        rule, anchors = entries[0][0].rule, {one for _, one in entries}
        people = frozenset(entries[0][0].people[role.name])
        if len(anchors) == 1:
            people -= anchors
        slots = self._slots(entries, role)
        limited = len(slots) == len(entries)
        rows = [tuple(slots)] if limited else []
        rows += [(number,) for number in self._card_slots(entries[0][0], role)]
        alone = []
        if limited and len(anchors) > 1 and any(eater.resource in slots for eater in self.market.eaters):
            for one in sorted(anchors & people):
                others = [entry for entry in entries if entry[1] != one]
                alone.append((one, tuple(self._slots(others, role))))
        named = tuple((joint.by, one) for joint, one in entries)
        return Pool(rule, role, named, people, tuple(rows), tuple(alone))

    def _slots(self, entries: Sequence[tuple[Joint, int]], role: Role) -> list[int]:
        keys = [("slot", joint.rule.id, joint.by, str(one), role.name) for joint, one in entries]
        return [self.market.resources[key] for key in keys if key in self.market.resources]

    def _card_slots(self, joint: Joint, role: Role) -> list[int]:
        key = ("slots", joint.rule.id, joint.by, role.name)
        return [self.market.resources[key]] if key in self.market.resources else []

    # --- types ------------------------------------------------------------------------------------------------------

    def _types(self) -> tuple[list[int], list[tuple[int, ...]]]:
        market = self.market
        marks: list[list[object]] = [[] for _ in market.people]
        for joints in self._joints.values():
            self._mark_roles(joints, marks)
        for person in self._apart():
            marks[person].append(person)
        if market.eaters:
            pool_of = {number: at for at, pool in enumerate(self.pools) for row in pool.rows for number in row}
            for eater in market.eaters:
                marks[eater.person].append((pool_of.get(eater.resource), eater.classes, eater.amount))
        found: dict[object, list[int]] = {}
        for person in market.people:
            mark = (market.profile[person], tuple(marks[person]))
            found.setdefault(mark, []).append(person)
        type_of = [0] * len(market.people)
        for type, people in enumerate(found.values()):
            for person in people:
                type_of[person] = type
        return type_of, [tuple(people) for people in found.values()]

    def _mark_roles(self, joints: Sequence[Joint], marks: list[list[object]]) -> None:
        rule = joints[0].rule
        for role in rule.roles:
            if not role.holds:
                for person in self.market.fitting(rule, role):
                    marks[person].append((rule.id, role.name))
                continue
            for joint in joints:
                people = joint.people[role.name]
                for person in people:
                    # A card of one holder is like any other of the kind; one that names several is itself.
                    marks[person].append((rule.id, role.name, joint.by if len(people) > 1 else ""))
        if rule.household is not None:
            for person in self.market.people:
                marks[person].append(("household", self.market.case.travelers[person].household))

    def _apart(self) -> list[int]:
        """Whom something tells apart from everybody: kin, members of listed groups, anchors who may ride themselves."""
        found: set[int] = set()
        for joints in self._joints.values():
            if is_listed(joints[0].rule):
                for joint in joints:
                    found.update(person for people in joint.people.values() for person in people)
        for pool in self.pools:
            found.update(one for one, _ in pool.alone)
            if any((pool.rule.id, by) == self._kept_apart for by, _ in pool.anchors):
                found.update(anchor for _, anchor in pool.anchors)
            if pool.rule.kin is not None or pool.rule.household is not None:
                found.update(pool.people)
                found.update(anchor for _, anchor in pool.anchors)
        return sorted(found)

    # --- classes ----------------------------------------------------------------------------------------------------

    def _classes(self, joints: Sequence[Joint]) -> list[tuple[Joint, tuple[str, ...]]]:
        """The rule once for each kind of card (and household) that brings it in, with the cards of that kind."""
        found: dict[object, tuple[Joint, list[str]]] = {}
        for joint in joints:
            for home in homes_of(self.market, joint):
                holders = {one for role in joint.roles() if role.holds for one in home.people[role.name]}
                if any(role.min > len(home.people[role.name]) for role in joint.roles()):
                    continue
                key: object = joint.by
                if len(holders) == 1:
                    key = self.type_of[next(iter(holders))]
                elif not holders:
                    key = joint.by if any(role.holds for role in joint.roles()) else "public"
                household = self._household(home) if joint.rule.household else None
                found.setdefault((key, household), (home, []))[1].append(joint.by)
        return [(joint, tuple(bys)) for joint, bys in found.values()]

    def _household(self, joint: Joint) -> str | None:
        people = [person for group in joint.people.values() for person in group]
        return self.market.case.travelers[people[0]].household if people else None


def is_listed(rule: JointRule) -> bool:
    """Whether bounds on numbers cannot say what a group must be, so that its groups are listed one by one."""
    return rule.anchor is None and (rule.kin is not None or bool(rule.app_when))


def homes_of(market: Market, joint: Joint) -> list[Joint]:
    """A rule that binds one household, once per household; any other as it is."""
    if joint.rule.household is None:
        return [joint]
    travelers = market.case.travelers
    homes = dict.fromkeys(one.household for one in travelers if one.household is not None)
    return [
        Joint(
            joint.rule,
            joint.by,
            {
                name: tuple(person for person in people if travelers[person].household == home)
                for name, people in joint.people.items()
            },
        )
        for home in homes
    ]
