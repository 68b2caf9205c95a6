# SPDX-License-Identifier: Apache-2.0
"""The list of mutants follows the sources."""

import pytest

from tests.mutants.run_mutants import ROOT, mutants


@pytest.mark.parametrize("mutant", mutants(), ids=lambda m: m.name)
def test_each_mutant_has_its_one_place_and_its_tests(mutant):
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.find) == 1
    assert (ROOT / mutant.tests.split()[0].split("::")[0]).is_file()
