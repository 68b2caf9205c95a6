# SPDX-License-Identifier: Apache-2.0
"""`make mutants`: breaks gates, covariances and conventions one line at a time, and expects the tests to notice.

Each entry of mutants.yaml names a file, a text that stands in it once, what it becomes, and the tests that must fail.
The tree is copied to a temporary folder for each; the working tree is never touched.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutants.yaml")
LIMIT_S = 600


@dataclass(frozen=True)
class Mutant:
    """One broken line: `find` becomes `become` in `file`, and one of `tests` must fail."""

    name: str
    file: str
    find: str
    become: str
    tests: str

    def applied_to(self, tree: Path) -> None:
        """Break the copy; raises ValueError where the text does not stand there exactly once."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.find) != 1:
            raise ValueError(
                f"{self.file} holds {self.find!r} {text.count(self.find)} times, not once; mend mutants.yaml"
            )
        path.write_text(text.replace(self.find, self.become), encoding="utf-8")


def mutants() -> list[Mutant]:
    """The list, by name."""
    return [Mutant(name, **entry) for name, entry in yaml.safe_load(LIST.read_text(encoding="utf-8")).items()]


def tracked_files() -> list[str]:
    """Files that git tracks or would, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def verdict(mutant: Mutant | None, files: list[str], tests: str) -> tuple[str, str]:
    """`killed`, `survived` or `broken`, and the line that says why; None runs the tests on the tree as it is."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in files:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
        try:
            if mutant is not None:
                mutant.applied_to(tree)
        except ValueError as error:
            return "broken", str(error)
        paths = os.pathsep.join(str(tree / part) for part in (".", "training", "ros2_ws/src/geodistill_ros"))
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *shlex.split(tests)]
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
        if done.returncode not in (0, 1):
            return "broken", last
        return ("survived" if done.returncode == 0 else "killed"), last


def main() -> int:
    """0 where all mutants are killed and the tests pass without them."""
    parser = argparse.ArgumentParser(description="break one line at a time; the tests must notice")
    parser.add_argument("names", nargs="*", help="mutants by name; all where none is named")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    options = parser.parse_args()
    chosen = [mutant for mutant in mutants() if not options.names or mutant.name in options.names]
    files = tracked_files()
    every = " ".join(sorted({mutant.tests.split(" -k ")[0] for mutant in chosen}))
    verdicts = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        healthy = pool.submit(verdict, None, files, every)
        running = {mutant.name: pool.submit(verdict, mutant, files, mutant.tests) for mutant in chosen}
        for name, result in running.items():
            verdicts[name] = result.result()
            print(f"{verdicts[name][0]:9}{name}: {verdicts[name][1]}", flush=True)
        word, last = healthy.result()
    print(f"{'passed' if word == 'survived' else 'FAILED':9}the tree as it is: {last}")
    killed = sum(word == "killed" for word, _ in verdicts.values())
    print(f"{killed} of {len(chosen)} mutants killed")
    return 0 if killed == len(chosen) and word == "survived" else 1


if __name__ == "__main__":
    sys.exit(main())
