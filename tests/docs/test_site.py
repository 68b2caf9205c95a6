# SPDX-License-Identifier: Apache-2.0
"""The pages build without a warning, links and anchors included, and load nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (pip install 'geodistill[dev]')")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def pages():
    def walk(entry):
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry if isinstance(entry, list) else entry.values():
                yield from walk(inner)

    return set(walk(CONFIG["nav"]))


def test_every_page_is_in_the_navigation():
    assert pages() == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_what_is_wrong_with_links_is_an_error():
    assert CONFIG["strict"] is True
    links = CONFIG["validation"]["links"]
    assert links == dict.fromkeys(("not_found", "anchors", "absolute_links", "unrecognized_links"), "warn")


def test_site_builds_with_every_page(site):
    assert {path.name for path in site.glob("*.html")} >= {page.replace(".md", ".html") for page in pages()}


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.glob("*.html"):
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?:)?//', page.read_text())
        assert loaded == [], page.name


def test_tables_are_rendered_as_tables(site):
    assert (site / "parameters.html").read_text().count("<tr>") > 40
    for page in site.glob("*.html"):
        assert "<p>|" not in page.read_text(), page.name
