"""The shop's words, in English and French. A key that lacks a language is an error at import, not a gap on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("en", "fr")

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "tagline": ("Fast trains, good company.", "Des trains rapides, en bonne compagnie."),
    "hero": (
        "Take your friends. Sit together. Everyone pays their own way.",
        "Partez entre amis. Assis ensemble. Chacun paie sa part.",
    ),
    "skip": ("Skip to content", "Aller au contenu"),
    "from": ("From", "De"),
    "to": ("To", "À"),
    "date": ("Day", "Jour"),
    "search": ("Find trains", "Chercher"),
    "anywhere": ("Anywhere", "Partout"),
    "departures": ("Next departures", "Prochains départs"),
    "results": ("Trains", "Trains"),
    "on_day": ("on", "le"),
    "nothing": (
        "No train fits. Try another day or city.",
        "Aucun train trouvé. Essayez un autre jour ou une autre ville.",
    ),
    "occasions": ("Worth the trip", "Ça vaut le voyage"),
    "festivals": ("Festivals", "Festivals"),
    "occasion_trains": ("Trains to get you there", "Trains pour y aller"),
    "returns": ("There and back", "Aller-retour"),
    "singles": ("One way", "Aller simple"),
    "plan": ("Plan with friends", "Partir entre amis"),
    "plan_why": (
        "Vote on a train, see your own price with your own card, pay only your part. Nobody pays for everybody.",
        "Votez pour un train, voyez votre prix avec votre carte, payez votre part. Personne n’avance pour les autres.",
    ),
    "from_price": ("from", "dès"),
    "no_price": ("No fare published yet", "Tarif pas encore publié"),
    "no_price_why": (
        "You can put this train to the vote; it cannot be booked.",
        "Vous pouvez proposer ce train au vote ; il n’est pas réservable.",
    ),
    "direct": ("direct", "direct"),
    "seats_left": ("seats free", "places libres"),
    "sold_out": ("Sold out", "Complet"),
    "fares": ("Fares", "Tarifs"),
    "saver": ("Saver", "Éco"),
    "saver_why": ("This train only, half refund.", "Ce train seulement, remboursé à moitié."),
    "flex": ("Flex", "Flex"),
    "flex_why": ("Any change, full refund.", "Échange et remboursement libres."),
    "class_1": ("First class", "Première classe"),
    "class_2": ("Second class", "Seconde classe"),
    "seat_map": ("Where you could sit", "Où vous pourriez vous asseoir"),
    "coach": ("Coach", "Voiture"),
    "free": ("free", "libre"),
    "taken": ("taken", "occupée"),
    "together": (
        "Groups are seated around one table or in neighboring rows.",
        "Les groupes sont placés autour d’une table ou sur des rangs voisins.",
    ),
    "cards": ("Cards", "Cartes"),
    "cards_why": (
        "Kestrel Youth 30 %, Senior 25 %, Half 50 % off Flex. Children 4 to 11 half fare, under 4 free.",
        "Kestrel Jeune 30 %, Senior 25 %, Moitié 50 % sur Flex. De 4 à 11 ans demi-tarif, moins de 4 ans gratuit.",
    ),
    "train": ("Train", "Train"),
    "home": ("Home", "Accueil"),
    "data": ("About the data", "À propos des données"),
    "demo": (
        "A demo shop. The trains and prices are examples; nothing is charged.",
        "Une boutique de démonstration. Trains et prix sont des exemples ; rien n’est débité.",
    ),
    "demo_timetable": (
        "Demo timetable: published days are shifted by whole weeks; each price lies inside its published range.",
        "Horaire de démonstration : jours publiés décalés de semaines entières ; chaque prix reste dans sa fourchette.",
    ),
    "not_found": (
        "This train or occasion is not (or no longer) on sale.",
        "Ce train ou cet événement n’est pas (ou plus) en vente.",
    ),
    "not_found_title": ("Not found", "Introuvable"),
    "language": ("Français", "English"),
    "outward": ("Outward", "Aller"),
    "back": ("Return", "Retour"),
    "hours": ("h", "h"),
    "minutes": ("min", "min"),
    "widget_off": (
        "Planning with friends needs JavaScript. The trains are all here without it.",
        "Partir entre amis demande JavaScript. Les trains, eux, s’affichent sans.",
    ),
}
_DAYS: Final = {
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "fr": ("lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."),
}
_MONTHS: Final = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "fr": ("janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."),
}


def words(language: str) -> dict[str, str]:
    index = LANGUAGES.index(language)
    return {key: pair[index] for key, pair in _WORDS.items()}


def day(language: str, weekday: int, number: int, month: int) -> str:
    return f"{_DAYS[language][weekday]} {number} {_MONTHS[language][month - 1]}"


def price(language: str, cents: int) -> str:
    """Euro, the way each language writes it."""
    whole, rest = divmod(cents, 100)
    return f"{whole},{rest:02d} €" if language == "fr" else f"€{whole}.{rest:02d}"
