# SPDX-License-Identifier: Apache-2.0
"""`python -m geodistill_ros.health_check [NODE]`: 0 where the node answers and is not in ERROR, else 1.

For containers, which ask often: it imports rclpy and nothing of the library.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import rclpy
from std_srvs.srv import Trigger

ANSWER_S = 8.0
_ASK_AGAIN_S = 1.0  # an answer is lost where the node has not yet found the client's reader


def health_of(node_name: str, timeout_s: float = ANSWER_S) -> tuple[bool, str]:
    """Whether `NODE/status` answers within `timeout_s` with less than an ERROR, and its sentence."""
    deadline_s = time.monotonic() + timeout_s
    with rclpy.init(args=[]):
        node = rclpy.create_node("geodistill_health_check", enable_rosout=False)
        client: Any = node.create_client(Trigger, f"{node_name}/status")
        while (left_s := deadline_s - time.monotonic()) > 0:
            if not client.wait_for_service(min(left_s, _ASK_AGAIN_S)):
                continue
            future = client.call_async(Trigger.Request())
            rclpy.spin_until_future_complete(node, future, timeout_sec=_ASK_AGAIN_S)
            answer = future.result()
            if answer is not None:
                return bool(answer.success), str(json.loads(answer.message)["message"])
    return False, f"{node_name} does not answer within {timeout_s:g} s; is it running in this ROS domain?"


if __name__ == "__main__":
    healthy, sentence = health_of(sys.argv[1] if len(sys.argv) > 1 else "/geodistill")
    print(sentence)
    sys.exit(0 if healthy else 1)
