"""A second way to the answer, written from the reference and not from the engine: slow, plain, on raw JSON.

It puts the people together in every lawful way, prices each way by the words of the rules, and keeps the cheapest.
"""

from tests.discounts.twin.answers import answer, cheapest_total

__all__ = ["answer", "cheapest_total"]
