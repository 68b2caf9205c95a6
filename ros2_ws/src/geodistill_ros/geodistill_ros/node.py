# SPDX-License-Identifier: Apache-2.0
"""Executable `localizer` (also `python -m geodistill_ros.node`): run until SIGINT or SIGTERM, exit 0."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geodistill_ros.engine import EngineFactory

EXIT_LIMIT_S = 2.0
EXECUTOR_THREADS = 3


class Signals:
    """SIGINT and SIGTERM before, during and after spinning.

    While modules load there is nothing to tidy, so a signal ends the process at once. Once rclpy spins, its
    own handler ends the spin and chains to this one, which must then stay silent: launch systems repeat the
    signal.
    """

    def __init__(self) -> None:
        self.spinning = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.spinning:
            os._exit(0)


def main(arguments: list[str] | None = None, engine_factory: EngineFactory | None = None) -> int:
    """Start, spin, stop; 0 after a signal. `engine_factory` replaces the loading of model and map."""
    signals = Signals()
    import rclpy
    from rclpy.executors import MultiThreadedExecutor

    from geodistill_ros.engine import load_engine
    from geodistill_ros.lifecycle_node import LocalizerNode
    from geodistill_ros.spin import spin

    rclpy.init(args=arguments)
    executor = MultiThreadedExecutor(EXECUTOR_THREADS)
    node = LocalizerNode(engine_factory or load_engine)
    executor.add_node(node)
    signals.spinning = True
    spin(executor, node, node.counters)
    # A model that loads or an inference that hangs must not hold the exit up.
    limit = threading.Timer(EXIT_LIMIT_S, os._exit, (0,))
    limit.daemon = True
    limit.start()
    executor.shutdown(timeout_sec=EXIT_LIMIT_S)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
