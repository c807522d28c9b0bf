"""A receipt as a PDF: the same words as the page, in an embedded face, the same bytes for the same receipt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from fpdf import FPDF, XPos, YPos
from fpdf.enums import TableBordersLayout
from fpdf.fonts import TTFFont

from groupbook.kit.i18n import Words, format_money
from groupbook.web.receipt_views import ReceiptView

FACES: Final = Path(__file__).parent / "static" / "vendor" / "dejavu"
MORE_FACES: Final = Path(__file__).parent / "faces"
FACE: Final = "dejavu"
FALLBACK: Final = "droid"  # Chinese, Japanese, Korean, and what else the first face lacks
_SOFT: Final = (95, 90, 102)
_INK: Final = (30, 24, 36)
_LINE: Final = (205, 200, 210)
_margin: Final = 20.0


def receipt_pdf(view: ReceiptView, say: Words) -> bytes:
    """The receipt on A4. Nothing of the clock or of chance is in it: a copy made later is equal byte by byte."""
    page = _Page(view, say)
    page.add_page()
    page.head()
    page.ride()
    page.paid_for()
    page.moved()
    page.sums()
    page.notes()
    return bytes(page.output())


class _Page(FPDF):
    def __init__(self, view: ReceiptView, say: Words) -> None:
        super().__init__(format="A4")
        self._view, self._say = view, say
        self.add_font(FACE, "", FACES / "DejaVuSans.ttf")
        self.add_font(FACE, "B", FACES / "DejaVuSans-Bold.ttf")
        self.set_text_shaping(use_shaping_engine=True)  # joins Arabic letters, and turns lines around that need it
        self._letters = self._known(FACE) & self._known(f"{FACE}B")
        if not self._letters.issuperset(map(ord, str(view))):
            self.add_font(FALLBACK, "", MORE_FACES / "DroidSansFallback.ttf")  # large: only where it is needed
            self.set_fallback_fonts([FALLBACK], exact_match=False)
            self._letters |= self._known(FALLBACK)
        self.set_margins(_margin, _margin, _margin)
        self.set_auto_page_break(True, margin=_margin + 8)
        self.set_creation_date(view.changed_at)
        self.set_title(f"{view.title} {view.number}")
        self.set_author(self._shown(view.seller_name))
        self.set_lang(view.locale)
        self.set_producer("groupbook")

    def footer(self) -> None:
        self.set_y(-15)
        self._face(8, soft=True)
        self.cell(
            0, 5, f"{self._shown(self._view.seller_name)} · {self._view.number} · {self.page_no()}/{{nb}}", align="C"
        )

    def _known(self, face: str) -> frozenset[int]:
        font = self.fonts[face]
        return frozenset(font.cmap) if isinstance(font, TTFFont) else frozenset()

    def _shown(self, text: str) -> str:
        """The text with a square for every letter that no face has: nothing vanishes silently."""
        return "".join(one if ord(one) in self._letters else "\N{WHITE SQUARE}" for one in text)

    def _face(self, size: float, *, bold: bool = False, soft: bool = False) -> None:
        self.set_font(FACE, "B" if bold else "", size)
        self.set_text_color(*(_SOFT if soft else _INK))

    def _text(self, text: str, size: float = 10, *, bold: bool = False, soft: bool = False, gap: float = 0) -> None:
        self._face(size, bold=bold, soft=soft)
        self.multi_cell(0, size * 0.52, self._shown(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        if gap:
            self.ln(gap)

    def _rule(self) -> None:
        self.ln(3)
        self.set_draw_color(*_LINE)
        self.line(self.l_margin, self.get_y(), self.w - self.r_margin, self.get_y())
        self.ln(4)

    def head(self) -> None:
        self._text(self._view.seller_name, 14, bold=True)
        for line in self._view.seller:
            self._text(line, 9, soft=True)
        self._rule()
        self._text(self._view.title, 18, bold=True, gap=1)
        self._text(self._view.trip, 11, gap=3)
        if self._view.is_test:
            self._text(self._say("Test mode: no real money moves"), 10, bold=True, gap=2)
        self._pairs(self._view.facts)

    def _pairs(self, rows: Iterable[tuple[str, str]]) -> None:
        self._face(9)
        with self.table(
            col_widths=(50, 120),
            borders_layout=TableBordersLayout.NONE,
            first_row_as_headings=False,
            line_height=5.2,
            text_align="LEFT",
        ) as table:
            for label, value in rows:
                row = table.row()
                row.cell(self._shown(label))
                row.cell(self._shown(value))

    def ride(self) -> None:
        self._rule()
        for line in self._view.journey:
            self._text(line, 10)

    def _amounts(self, rows: list[tuple[str, str, bool]]) -> None:
        """Label and amount; the third says whether it is said loudly."""
        for label, amount, is_loud in rows:
            self._face(10, bold=is_loud)
            width = self.epw - 45
            top = self.get_y()
            self.multi_cell(width, 5.4, self._shown(label), align="L", new_x=XPos.RIGHT, new_y=YPos.NEXT)
            below = self.get_y()
            self.set_xy(self.l_margin + width, top)
            self.cell(45, 5.4, self._shown(amount), align="R")
            self.set_xy(self.l_margin, below)

    def paid_for(self) -> None:
        self._rule()
        for item in self._view.items:
            rows = [(f"    {line.label}", format_money(line.amount, self._view.locale), False) for line in item.lines]
            self._amounts([(item.label, item.amount, True), *rows])

    def moved(self) -> None:
        self._rule()
        for at, text, amount in self._view.movements:
            self._amounts([(f"{at}   {text}", amount, False)])

    def sums(self) -> None:
        self._rule()
        last = len(self._view.sums) - 1
        self._amounts([(label, amount, index == last) for index, (label, amount) in enumerate(self._view.sums)])

    def notes(self) -> None:
        self._rule()
        for note in self._view.notes:
            self._text(note, 8.5, soft=True, gap=1)
