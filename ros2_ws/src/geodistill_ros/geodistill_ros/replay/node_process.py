# SPDX-License-Identifier: Apache-2.0
"""The node in a process of its own, as on the vehicle: parameters from a file, topics by remapping."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

NODE_COMMAND = (sys.executable, "-m", "geodistill_ros.node")
_STOP_S = 20.0  # it takes a tenth of a second; a starved machine may take long
_LOG_LINES = 8


class NodeProcess:
    """Context manager around the running node; its log goes to `log`."""

    def __init__(
        self,
        parameters: Mapping[str, Any],
        remappings: Mapping[str, str],
        environment: Mapping[str, str],
        log: Path,
        command: Sequence[str] = NODE_COMMAND,
    ) -> None:
        self._command = list(command)
        self._parameters = dict(parameters)
        self._remappings = dict(remappings)
        self._environment = dict(environment)
        self._log_path = log

    def __enter__(self) -> NodeProcess:
        self._folder = tempfile.TemporaryDirectory(prefix="geodistill-")
        file = Path(self._folder.name) / "parameters.yaml"
        file.write_text(yaml.safe_dump({"/**": {"ros__parameters": self._parameters}}), encoding="utf-8")
        arguments = ["--ros-args", "--params-file", str(file)]
        for name, topic in self._remappings.items():
            arguments += ["-r", f"{name}:={topic}"]
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log = self._log_path.open("wb")
        self.process = subprocess.Popen(
            [*self._command, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is ours: we stop the node in order
        )
        return self

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def stop(self) -> int:
        """SIGINT, then wait; the exit code (negative where it had to be killed)."""
        if self.alive():
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def last_words(self) -> str:
        """The end of the node's log."""
        return "\n".join(self._log_path.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._log.close()
        self._folder.cleanup()
