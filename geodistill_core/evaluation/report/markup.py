# SPDX-License-Identifier: Apache-2.0
"""HTML and SVG elements from values: plain text is escaped by construction and holds no control characters; only
`Markup` passes as it is."""

from __future__ import annotations

from html import escape

from geodistill_core.printable import printable

VOID = {"img", "meta", "input"}


class Markup(str):
    """Text that already is safe markup."""

    __slots__ = ()


def element(tag: str, *children: object, css: str = "", **attributes: object) -> Markup:
    """`<tag ...>children</tag>`; `css` is the class, an underscore in an attribute's name becomes a hyphen.

    Floats in attributes are written with one decimal.
    """
    named = {"class": css, **attributes} if css else attributes
    head = "".join(f' {key.replace("_", "-")}="{_attribute(value)}"' for key, value in named.items())
    if tag in VOID:
        return Markup(f"<{tag}{head}>")
    return Markup(f"<{tag}{head}>{join(*children)}</{tag}>")


def join(*children: object) -> Markup:
    """Children side by side."""
    return Markup("".join(child if isinstance(child, Markup) else escape(printable(str(child))) for child in children))


def _attribute(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else escape(printable(str(value)), quote=True)


def number(value: float | None, unit: str = "") -> str:
    """Two decimals, or a dash for a missing figure."""
    return "–" if value is None else f"{value:.2f}{unit}"


def percent(value: float | None) -> str:
    """Whole percent, or a dash for a missing share."""
    return "–" if value is None else f"{100 * value:.0f} %"
