"""Growth with the party as a picture: time over size, both logarithmic, one panel per spread of fares."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.discounts.campaign import BRUTE, CLASSES, COUNTED, CP_CLASSES, CP_NAMED, NAMED, OURS, Sample
from benchmarks.discounts.parties import SPREADS, Spread
from benchmarks.discounts.report import ms

# Okabe and Ito's colors, told apart by everybody; dashes for what is asked by class.
_LINES: Final = {
    OURS: ("#000000", ""),
    NAMED: ("#d55e00", ""),
    COUNTED: ("#e69f00", "2 3"),
    CLASSES: ("#d55e00", "6 4"),
    CP_NAMED: ("#0072b2", ""),
    CP_CLASSES: ("#0072b2", "6 4"),
    BRUTE: ("#009e73", ""),
}
_WIDTH, _HEIGHT, _LEFT, _TOP = 410, 330, 60, 50
_MS: Final = (0.1, 1, 10, 100, 1_000, 10_000)
_HEADING: Final = "Cheapest lawful price, proven: ms over travelers (medians over all rule sets)"
_TITLES: Final[dict[Spread, str]] = {"classes": "one fare per class", "distinct": "distinct fares"}


def draw(samples: Sequence[Sample], path: Path) -> None:
    sizes = list(dict.fromkeys(one.size for one in samples))
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1120 440" font-family="sans-serif" font-size="12">',
        "<title>Time to the proven cheapest price over the size of the party</title>",
        '<rect width="1120" height="440" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{_HEADING}</text>',
    ]
    for at, spread in enumerate(SPREADS):
        parts += _panel([one for one in samples if one.spread == spread], sizes, _TITLES[spread], 500 * at)
    for at, (name, (color, dashes)) in enumerate(_LINES.items()):
        y = _TOP + 30 + 22 * at
        parts.append(_path([(990, y - 4), (1018, y - 4)], color, dashes, name == OURS))
        parts.append(f'<text x="1024" y="{y}">{name}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _panel(samples: Sequence[Sample], sizes: Sequence[int], title: str, shift: int) -> list[str]:
    def x(size: float) -> float:
        low, high = log10(min(sizes)), log10(max(sizes))
        return shift + _LEFT + _WIDTH * ((log10(size) - low) / (high - low) if high > low else 0.5)

    def y(value: float) -> float:
        low, high = log10(_MS[0]), log10(_MS[-1])
        return _TOP + _HEIGHT * (1 - (log10(value) - low) / (high - low))

    left, bottom = shift + _LEFT, _TOP + _HEIGHT
    parts = [f'<text x="{left}" y="{_TOP - 8}">{title}</text>']
    for value in _MS:
        parts.append(f'<path d="M{left} {y(value):.1f}H{left + _WIDTH}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for size in sizes:
        parts.append(f'<text x="{x(size):.1f}" y="{bottom + 18}" text-anchor="middle">{size}</text>')
    for name, (color, dashes) in _LINES.items():
        found = [(size, ms([one for one in samples if one.size == size], name)) for size in sizes]
        points = [(x(size), y(max(_MS[0], median(some)))) for size, some in found if some]
        if points:
            parts.append(_path(points, color, dashes, name == OURS))
    return parts


def _path(points: Sequence[tuple[float, float]], color: str, dashes: str, bold: bool) -> str:
    line = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="M{line}" fill="none" stroke="{color}" stroke-width="{3 if bold else 1.5}"{dashed}/>'
