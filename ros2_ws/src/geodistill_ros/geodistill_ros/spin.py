# SPDX-License-Identifier: Apache-2.0
"""Spin until the context ends, whatever a callback of rclpy itself raises."""

from __future__ import annotations

from rclpy.executors import Executor, ExternalShutdownException
from rclpy.node import Node

from geodistill_ros.counters import Counters


def spin(executor: Executor, node: Node, counters: Counters) -> None:
    """Returns once the executor or the node's context is shut down.

    Our own callbacks are guarded, rclpy's are not: Jazzy's raises for a transition that the state does not allow,
    and that would end the process.
    """
    while node.context.ok():
        try:
            executor.spin()
            return
        except ExternalShutdownException:
            return
        except Exception as error:
            # A signal may fall between two steps of rclpy's loop, which then fails on its closed context.
            if node.context.ok():
                counters.add("callback_errors.executor")
                node.get_logger().error(f"{type(error).__name__}: {error}")
