"""The ticket's code as a picture: one SVG path, dark on white in every theme so that a reader can read it."""

from __future__ import annotations

from io import BytesIO

import segno


def qr_svg(code: str) -> str:
    """An SVG that scales with its box. Error correction M: a phone's screen, not a crumpled print."""
    picture = BytesIO()
    segno.make(code, error="m", micro=False).save(
        picture, kind="svg", xmldecl=False, svgns=False, omitsize=True, border=2, dark="#000", light="#fff", nl=False
    )
    return picture.getvalue().decode("utf-8")
