# SPDX-License-Identifier: Apache-2.0
"""The frame of every page: one HTML file with its style, and a policy that forbids everything else."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from geodistill_core.evaluation.report.markup import Markup, element


def whole_page(title: str, content: Markup, script: str = "") -> str:
    """A page of the house's look around `content`; no other script runs, and nothing is loaded from anywhere."""
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · GeoDistill"),
        element("style", Markup(asset("style.css"))),
    )
    code = element("script", Markup(script)) if script else Markup("")
    return "<!doctype html>\n" + element("html", head, element("body", content, code), lang="en") + "\n"


def asset(name: str) -> str:
    """A style sheet or script that lies beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
