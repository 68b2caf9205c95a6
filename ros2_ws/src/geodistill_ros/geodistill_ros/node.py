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


class Signals:
    """SIGINT and SIGTERM: before spinning they end the process at once, afterwards they set `stop`.

    Nothing needs tidying while modules load. Launch systems repeat the signal, so a second one changes nothing.
    """

    def __init__(self) -> None:
        self.spinning = False
        self.stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.spinning:
            os._exit(0)
        self.stop.set()


def main(arguments: list[str] | None = None, engine_factory: EngineFactory | None = None) -> int:
    """Start, spin, stop; 0 after a signal. `engine_factory` replaces the loading of model and map."""
    signals = Signals()
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from geodistill_ros.engine import load_engine
    from geodistill_ros.lifecycle_node import LocalizerNode
    from geodistill_ros.spin import spin

    rclpy.init(args=arguments)
    # Callbacks only store and inference has its own thread, so one thread serves them all: several would cost
    # rclpy two to ten times the processor time at IMU rates, and lose messages.
    executor = SingleThreadedExecutor()
    node = LocalizerNode(engine_factory or load_engine)
    executor.add_node(node)

    def work() -> None:
        spin(executor, node, node.counters)
        signals.stop.set()

    signals.spinning = True
    spinner = threading.Thread(target=work, name="geodistill-ros", daemon=True)
    spinner.start()
    signals.stop.wait()
    # A model that loads or an inference that hangs must not hold the exit up.
    limit = threading.Timer(EXIT_LIMIT_S, os._exit, (0,))
    limit.daemon = True
    limit.start()
    rclpy.try_shutdown()
    spinner.join()
    node.destroy_node()
    return 0


if __name__ == "__main__":
    sys.exit(main())
