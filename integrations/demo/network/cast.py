"""The eight people of Plaza, and their pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """`id` is the OpenID subject; `skin`, `hair` and `back` draw the picture."""

    id: str
    name: str
    locale: str
    line: str
    skin: str
    hair: str
    back: str
    cut: str

    @property
    def handle(self) -> str:
        return self.id.removeprefix("plaza-")

    @property
    def email(self) -> str:
        return f"{self.handle}@plaza.example"


_CUTS = {
    "long": "M26 62c-2-28 8-42 24-42s26 14 24 42l-8 12V48c-10-2-16-6-20-12-3 6-7 9-12 11v27z",
    "short": "M28 46c-1-17 8-27 22-27s23 10 22 27l-5-9c-10 1-17-1-22-6-3 5-7 8-12 9z",
    "curly": "M26 50c-8-9-1-17 3-18 0-9 9-13 15-10 5-6 16-5 18 2 9-1 14 7 11 14 5 4 3 11-2 13"
    "l-5-12c-9 2-19 0-24-6-3 6-7 8-11 8z",
    "bun": "M42 15a8 8 0 1 1 16 0c9 4 15 14 14 31l-5-8c-10 1-18-2-22-8-3 5-7 8-12 9l-5 8c-2-17 5-28 14-32z",
    "crop": "M30 42c0-15 8-23 20-23s20 8 20 23c-3-9-8-12-20-12s-17 3-20 12z",
}

PEOPLE = (
    Person("plaza-ana", "Ana", "en", "Trains over planes, always.", "#f0c3a0", "#3b2314", "#ffd23f", "long"),
    Person("plaza-bo", "Bo", "en", "Bass player. Bad at mornings.", "#f6d5bd", "#c98b3a", "#8fd3ff", "short"),
    Person("plaza-chloe", "Chloé", "fr", "Je cuisine, vous lavez.", "#e9b18a", "#7a2e1d", "#ffc6da", "bun"),
    Person("plaza-dev", "Dev", "en", "Ask me about bridges.", "#b9784a", "#17120e", "#c6f0b2", "short"),
    Person("plaza-emeka", "Emeka", "en", "Will travel for jollof.", "#7a4a2b", "#120d0a", "#ffb38a", "crop"),
    Person("plaza-freya", "Freya", "en", "Looking for the quiet coach.", "#f8dcc8", "#e3bd6b", "#b9c8ff", "long"),
    Person("plaza-gil", "Gil", "fr", "Photos de gares, surtout.", "#d9a074", "#4a3527", "#d9f26b", "curly"),
    Person("plaza-hana", "Hana", "en", "Festival season never ends.", "#eec6a2", "#1c1a22", "#d8bcff", "bun"),
)
BY_ID = {person.id: person for person in PEOPLE}
BY_HANDLE = {person.handle: person for person in PEOPLE}


def picture(person: Person) -> str:
    """A head and shoulders, as SVG."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" role="img">'
        f"<title>{person.name}</title>"
        f'<rect width="100" height="100" fill="{person.back}"/>'
        f'<path d="M14 100c2-20 16-27 36-27s34 7 36 27z" fill="{person.hair}" opacity=".85"/>'
        f'<path d="M42 62h16v14a8 8 0 0 1-16 0z" fill="{person.skin}"/>'
        f'<ellipse cx="50" cy="48" rx="19" ry="22" fill="{person.skin}"/>'
        f'<path d="{_CUTS[person.cut]}" fill="{person.hair}"/>'
        '<circle cx="43" cy="50" r="2.2" fill="#1a1a1a"/><circle cx="57" cy="50" r="2.2" fill="#1a1a1a"/>'
        '<path d="M43 59q7 6 14 0" fill="none" stroke="#1a1a1a" stroke-width="2" stroke-linecap="round"/></svg>'
    )
