"""How a merchant signs its receipts: legal name, address, numbers, whom to ask. Everything is optional, as written."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy.orm import Session

from groupbook.kit import clock
from groupbook.kit.errors import Invalid
from groupbook.merchants import repository

characters_max: Final = 400
lines_max: Final = 6


class DetailsInvalid(Invalid):
    """Too long, too many lines, or signs that nobody can read; `pointer` says where."""

    code = "details_invalid"


@dataclass(frozen=True, slots=True)
class Details:
    """`address` may have several lines; `contact` is whom a customer asks: an address, a number, a page."""

    legal_name: str = ""
    address: str = ""
    tax_id: str = ""
    registration: str = ""
    contact: str = ""


def check_details(details: Details) -> Details:
    """The details as they are printed.

    Raises:
        DetailsInvalid
    """
    cleaned = {}
    for name, text in asdict(details).items():
        lines = [" ".join(line.split()) for line in unicodedata.normalize("NFC", text).strip().splitlines()]
        is_unreadable = any(unicodedata.category(one) in ("Cc", "Cs", "Cn") for line in lines for one in line)
        if len(text) > characters_max or len(lines) > (lines_max if name == "address" else 1) or is_unreadable:
            raise DetailsInvalid(pointer=f"/{name}", characters_max=characters_max, lines_max=lines_max)
        cleaned[name] = "\n".join(lines)
    return Details(**cleaned)


def read_details(session: Session) -> Details:
    """How this merchant signs; empty where it said nothing. A step."""
    return Details(**repository.read_details(session))


def change_details(session: Session, details: Details) -> Details:
    """Say it anew; receipts that are read from now on carry it. A step.

    Raises:
        DetailsInvalid
    """
    checked = check_details(details)
    repository.save_details(session, asdict(checked), clock.system_now(session))
    return checked
