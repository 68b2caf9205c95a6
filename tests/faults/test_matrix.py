# SPDX-License-Identifier: Apache-2.0
"""The rows of the fault matrix that concern the node, N01 to N44: each has a test that carries its number."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = {f"n{number:02}" for number in range(1, 45)}


def rows_with_tests():
    """Numbers in the names of tests, such as `test_n01_...`."""
    names = re.compile(r"^ *def test_(n\d\d)_\w+\(", re.MULTILINE)
    return {row for path in TESTS.rglob("test_*.py") for row in names.findall(path.read_text())}


def test_every_row_of_the_matrix_has_a_test():
    assert ROWS - rows_with_tests() == set()


def test_no_test_carries_a_number_that_the_matrix_does_not_have():
    assert rows_with_tests() <= ROWS
