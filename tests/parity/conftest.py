# SPDX-License-Identifier: Apache-2.0
"""Prints the largest deviation of each golden pack at the end of the run."""

from __future__ import annotations

from tests.parity.pack import LARGEST


def pytest_terminal_summary(terminalreporter):
    if LARGEST:
        terminalreporter.section("parity: largest deviation of each pack, as a share of what is allowed")
        for name, (array, share) in sorted(LARGEST.items()):
            terminalreporter.line(f"{name:28} {share:9.4f}  in {array}")
