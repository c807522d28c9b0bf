"""The catalogue of sentences: `python -m groupbook.web.catalogue` brings `locale/*.po` up to date with the code.

Every `_("…")`, `say("…")`, `say.many("…", "…", n)` and `ngettext` of the whole house is a message; English is its own
translation. A test fails while a sentence of ours has no French.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from groupbook.kit.i18n import DEFAULT_LOCALE, LOCALE_FOLDER, LOCALES

HOUSE: Final = Path(__file__).resolve().parent.parent
_METHODS: Final = [("**/templates/**.html", "jinja2"), ("**.py", "python")]
_OPTIONS: Final = {"**/templates/**.html": {"extensions": "jinja2.ext.i18n"}}
_KEYWORDS: Final[dict[str, Any]] = {
    "_": None,
    "say": None,
    "gettext": None,
    "ngettext": (1, 2),
    "many": (1, 2),
}


def messages() -> Catalog:
    """Every message in the code, where it stands first."""
    found = Catalog(project="groupbook")
    places = extract_from_dir(HOUSE, method_map=_METHODS, options_map=_OPTIONS, keywords=_KEYWORDS)
    for filename, _line, message, _comments, context in places:
        if "kit/i18n.py" not in filename:
            # No line numbers: a moved line must not change the catalogue.
            found.add(message, None, [(filename, 0)], context=context)
    return found


def read(locale: str) -> Catalog:
    path = LOCALE_FOLDER / f"{locale}.po"
    if not path.is_file():
        return Catalog(locale=locale, project="groupbook")
    with path.open("rb") as file:
        return read_po(file, locale=locale)


def missing(locale: str) -> Iterator[str]:
    """The messages that have no words in this language, or only some of their plural forms."""
    known = read(locale)
    for message in messages():
        if not message.id:
            continue
        stored = known.get(message.id if isinstance(message.id, str) else message.id[0])
        words = stored.string if stored is not None and not stored.fuzzy else ""
        if not all(words if isinstance(words, (list, tuple)) else (words,)):
            yield message.id if isinstance(message.id, str) else message.id[0]


def update(locale: str) -> Path:
    """Take new messages in and drop those that the code no longer has; translations stay."""
    catalogue = read(locale)
    catalogue.update(messages(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    path = LOCALE_FOLDER / f"{locale}.po"
    with path.open("wb") as file:
        file.write(f"# {LOCALES[locale]}. Brought up to date by `python -m groupbook.web.catalogue`.\n\n".encode())
        write_po(file, catalogue, width=110, sort_output=True, omit_header=True, include_lineno=False)
    return path


def main() -> None:
    for locale in LOCALES:
        if locale != DEFAULT_LOCALE:
            update(locale)
            print(f"{locale}: {sum(1 for _ in missing(locale))} without words")  # noqa: T201 - a command line


if __name__ == "__main__":
    main()
