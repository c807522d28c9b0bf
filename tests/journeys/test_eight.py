"""Eight people pay for one booking, in every way there is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.journeys.afar import halves
from tests.journeys.crowd import (
    CHALLENGED,
    DECLINED,
    DESK,
    GOOD,
    LATE,
    PHONE,
    TRIO,
    Crowd,
    Friend,
    Stage,
    Trio,
    euro,
    gather,
    settled,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AT_FIRST = ("Ana", "Bo", "Chloé", "Dee", "Eli", "Fay", "Gus", "Hal", "Jo", "Kim", "Lou")
LEAVE = "I cannot come: hand my place over, or leave"
CONDITION = "It is taken only when everybody is in; otherwise it is released."


@pytest.fixture
def friends(stage: Stage) -> Iterator[dict[str, Friend]]:
    """One browser each: Bo's and Gus's are phones, Chloé's speaks French. Ivy comes later."""
    known = {
        name: stage.friend(
            locale="fr-FR" if name == "Chloé" else "en-GB", viewport=PHONE if name in ("Bo", "Gus") else DESK
        )
        for name in (*AT_FIRST, "Ivy")
    }
    yield known
    for friend in known.values():
        friend.context.close()


def test_eight_pay_in_every_way_there_is(stage: Stage, friends: dict[str, Friend]) -> None:
    """Eleven start and ten go; eight of them pay, and each page says what it is about, to the cent.

    Cards that are kept for a late deadline need a merchant that keeps no places: the next test has its own.
    """
    crowd = gather(stage, AT_FIRST, "Harbor weekend")
    for name in AT_FIRST:
        friends[name].sit(name, crowd.trip_id, crowd.tokens[name])
    begin(crowd, friends)
    one_leaves_and_one_hands_over(crowd, friends)
    a_sponsor_gives_and_two_share(crowd, friends)
    friends_pay_for_friends(crowd, friends)
    banks_ask_and_decline(crowd, friends)
    the_others_pay(crowd, friends)
    all_have_tickets(crowd, friends)
    assert {name: friend.errors for name, friend in friends.items() if friend.errors} == {}


def begin(crowd: Crowd, at: dict[str, Friend]) -> None:
    """Everybody reads their own part, until when, and what happens to their card."""
    fare, ana, chloe = crowd.fare, at["Ana"], at["Chloé"]
    ana.sees("Ready to book?", euro(11 * fare))
    ana.press("Hold the seats and ask everybody to pay")
    for name in ("Ana", "Bo", "Dee"):
        at[name].sees(
            "Your part",
            euro(fare),
            "Time left:",
            "0/11",
            f"If you go on, your bank keeps {euro(fare)} ready, and it is taken only when everybody is in.",
        )
    amount = euro(fare, "fr")
    chloe.sees(
        "Votre part", amount, "Temps restant", f"Si vous continuez, votre banque garde {amount}, prélevés seulement"
    )


def one_leaves_and_one_hands_over(crowd: Crowd, at: dict[str, Friend]) -> None:
    hal, fay, ivy, fare = at["Hal"], at["Fay"], at["Ivy"], crowd.fare
    hal.main.get_by_role("link", name=LEAVE).click()
    hal.sees("Your part now", euro(fare), "Nothing changes for the others.", "You pay nothing.")
    hal.press("Leave this booking")
    hal.sees("You are not part of this booking", "Nothing is asked of you and nothing happens to your card.")
    at["Ana"].sees("0/10", euro(10 * fare))
    fay.main.get_by_role("link", name=LEAVE).click()
    fay.page.locator("#f-name").fill("Ivy")
    fay.press("Make a link for my friend")
    fay.sees("This link is for Ivy", "Until then the place, and what you owe for it, stays yours.")
    ivy.name = "Ivy"
    ivy.page.goto(fay.page.locator("#handover-url").input_value())
    ivy.sees("Fay cannot come", "What the place costs today", euro(fare), "Nothing happens to your card now.")
    ivy.press(re.compile("^Take the place"))
    ivy.sees("Your part", euro(fare))
    fay.page.goto(at["Ana"].page.url)
    fay.sees("You are not part of this booking")


def a_sponsor_gives_and_two_share(crowd: Crowd, at: dict[str, Friend]) -> None:
    """Ana gives 30.00, 3.00 to each; Jo and Kim share what they owe two to one, when both have said yes."""
    ana, bo, jo, kim, fare = at["Ana"], at["Bo"], at["Jo"], at["Kim"], crowd.fare
    ana.opens("Other ways to pay")
    ana.page.locator("#f-sponsor").fill("30")
    ana.press("Give it")
    ana.sees("You give to everybody", euro(3000))
    own = f"Your own price is {euro(fare)}. With what is given, shared or paid together, your part is"
    bo.sees("Ana gives to everybody", euro(3000), f"{own} {euro(fare - 300)}.", "0/11")
    jo.opens("Other ways to pay")
    jo.main.get_by_role("checkbox", name="Kim").check()
    jo.page.get_by_label("Parts of Jo").fill("2")
    jo.press("Ask them")
    jo.sees("The cost is shared by parts: Jo 2 and Kim 1.", "Nothing changes until everybody has said yes.")
    jos, kims = halves(fare)
    for friend, amount in ((kim, kims), (jo, jos)):
        friend.sees("You would pay", "What somebody gives is taken off after that.")
        friend.press(f"Yes, I pay {euro(amount)}")
    for friend, amount in ((kim, kims), (jo, jos)):
        friend.sees("Agreed", f"{own} {euro(amount - 300)}.")


def friends_pay_for_friends(crowd: Crowd, at: dict[str, Friend]) -> None:
    """Lou pays 10.00 of Gus's part, Eli pays for Dee, Ana covers Bo who is short."""
    ana, bo, dee, eli, gus, lou = (at[name] for name in ("Ana", "Bo", "Dee", "Eli", "Gus", "Lou"))
    part = crowd.fare - 300
    asks(gus, "Lou")
    lou.sees("Gus asks for help", euro(part))
    lou.opens("Other ways to pay")
    lou.page.locator("#f-give-to").select_option(label="Gus")
    lou.page.locator("#f-amount").fill("10.00")
    lou.press("Pay a part", exact=True)
    lou.sees("You pay a part for Gus", euro(1000))
    gus.sees("Lou pays a part for Gus", f"Authorize {euro(part - 1000)}")
    asks(dee, "Eli")
    eli.sees("Dee asks for help", "You agree to it, and what goes back goes back to you.")
    eli.pays(amount=euro(part), button="Pay for Dee")
    eli.sees("You pay for Dee", f"Your bank keeps {euro(part)} ready. {CONDITION}", "1/12")
    dee.sees("Eli pays for you and is in. Nothing happens to your card.", f"your part is {euro(part)}.")
    ana.opens("Pay for somebody who is short")
    ana.page.locator("#f-cover").select_option(label="Bo")
    ana.press("Pay their part")
    ana.sees("You pay for Bo", "Do not pay for Bo after all")
    bo.sees("Ana said they pay for you. Their bank has not said yes so far.", "I will pay myself")


def asks(friend: Friend, helper: str) -> None:
    friend.opens("Ask a friend to pay for me")
    friend.page.locator("#f-helper").select_option(label=helper)
    friend.press("Ask", exact=True)
    friend.sees("You asked a friend to pay for you. They now see your amount.")


def banks_ask_and_decline(crowd: Crowd, at: dict[str, Friend]) -> None:
    """Chloé's bank asks her first; Gus's says no, and then his other card is good."""
    chloe, gus, part = at["Chloé"], at["Gus"], crowd.fare - 300
    chloe.to_the_hosted_page(f"Autoriser {euro(part, 'fr')}")
    chloe.types(CHALLENGED)
    chloe.sees(f"Est-ce bien vous qui autorisez {euro(part, 'fr')} avec la carte finissant par 3155")
    chloe.page.locator("button[value=confirm]").click()
    chloe.comes_back()
    chloe.sees(f"Votre banque garde {euro(part, 'fr')}. La somme n’est prélevée que quand tout le monde est partant")
    gus.to_the_hosted_page(f"Authorize {euro(part - 1000)}")
    gus.types(DECLINED)
    expect(gus.page.get_by_role("alert")).to_contain_text("Your bank declined this card. Nothing was charged")
    gus.page.locator("a.back").click()
    gus.comes_back()
    gus.sees("Your bank said no. Nothing was taken, and nothing is kept.", "Try another card")
    gus.pays(amount=euro(part - 1000), button="Try another card")
    gus.sees(f"Your bank keeps {euro(part - 1000)} ready. {CONDITION}")


def the_others_pay(crowd: Crowd, at: dict[str, Friend]) -> None:
    ana, bo, lou, part = at["Ana"], at["Bo"], at["Lou"], crowd.fare - 300
    lou.pays(amount=euro(1000), within=lou.card("You pay a part for Gus"))
    jos, kims = halves(crowd.fare)
    for name, amount in (("Lou", part), ("Jo", jos - 300), ("Kim", kims - 300), ("Ivy", part), ("Eli", part)):
        at[name].pays(amount=euro(amount))
        at[name].sees(f"Your bank keeps {euro(amount)} ready. {CONDITION}")
    ana.pays(amount=euro(3000), within=ana.card("You give to everybody"))
    ana.pays(amount=euro(part), button="Pay for Bo")
    bo.sees("Ana pays for you and is in. Nothing happens to your card.", "11/12")
    bo.shot(crowd.stage.shots, "8-eleven-of-twelve-phone")
    ana.pays(amount=euro(part))


def all_have_tickets(crowd: Crowd, at: dict[str, Friend]) -> None:
    """Whoever goes has a ticket, whoever paid reads what was taken, and provider, agency and ledger say the same."""
    fare, part, (jos, kims) = crowd.fare, crowd.fare - 300, halves(crowd.fare)
    taken = {
        "Ana": [
            f"{euro(part)} was taken",
            f"You give to everybody: {euro(3000)} was taken",
            f"For Bo: {euro(part)} was taken",
        ],
        "Bo": ["Ana paid for you. Nothing happened to your card."],
        "Chloé": [f"Votre carte a été débitée de {euro(part, 'fr')}."],
        "Dee": ["Eli paid for you. Nothing happened to your card."],
        "Eli": [f"{euro(part)} was taken", f"For Dee: {euro(part)} was taken"],
        "Gus": [f"{euro(part - 1000)} was taken", f"Your own price is {euro(fare)}."],
        "Ivy": [f"{euro(part)} was taken"],
        "Jo": [f"{euro(jos - 300)} was taken"],
        "Kim": [f"{euro(kims - 300)} was taken"],
        "Lou": [f"{euro(part)} was taken", f"You pay a part for Gus: {euro(1000)} was taken"],
    }
    for name, sentences in taken.items():
        at[name].has_ticket()
        at[name].sees(*sentences)
        at[name].shot(crowd.stage.shots, f"8-done-{name}")
    for name in ("Fay", "Hal"):
        at[name].sees("You are not traveling, so there is no ticket for you.")
        at[name].sees_no("was taken")
    assert crowd.books() == settled(10 * fare)


def test_a_late_deadline_keeps_the_cards_first(stage: Stage, trio: Trio) -> None:
    """Ten days to pay: a card is kept, no money is; the banks are asked when the last one is in."""
    ana, bo, chloe = trio
    with stage.selling(LATE):
        crowd = gather(stage, TRIO, "Some day soon")
        crowd.seats(trio)
        fare = crowd.fare
        ana.page.get_by_label("Time for everybody to pay").select_option(label="10 days")
        ana.press("Hold the seats and ask everybody to pay")
        bo.sees(f"Keep my card for {euro(fare)}", "If you go on, it is only kept; your bank is asked on")
        for friend in (bo, ana):
            friend.to_the_hosted_page(f"Keep my card for {euro(fare)}")
            expect(friend.page.locator(".amount")).to_have_count(0)
            friend.types(GOOD)
            friend.comes_back()
            friend.sees(
                "Card kept", "Your card is kept with the payment provider, and no money is.", "Use another card"
            )
        assert crowd.books() == settled(0)
        chloe.sees("Jusqu’au", f"Enregistrer ma carte pour {euro(fare, 'fr')}")
        chloe.pays(button=re.compile("^Enregistrer ma carte"))
        for friend in trio:
            friend.has_ticket()
        bo.sees(f"{euro(fare)} was taken from your card.")
        assert crowd.books() == settled(3 * fare)
    assert [friend.errors for friend in trio] == [[], [], []]
