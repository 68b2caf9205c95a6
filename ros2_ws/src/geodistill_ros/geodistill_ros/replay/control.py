# SPDX-License-Identifier: Apache-2.0
"""Drive a node `geodistill` in another process through its lifecycle and ask how it is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node
from std_srvs.srv import Trigger

from geodistill_core.errors import GeodistillError

# A response is lost where the server has not yet found the client's reader; the question is then asked again.
_ANSWER_S = 1.0


class NodeControlError(GeodistillError):
    """The node did not answer, or refused a transition."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The node's `~/status`: level 0 OK, 1 WARN, 2 ERROR, one sentence, and every counter."""

    level: int
    message: str
    values: dict[str, str]

    def count(self, name: str) -> int:
        """A counter, 0 where nothing was counted."""
        return int(self.values.get(name, 0))

    def since(self, earlier: NodeStatus) -> NodeStatus:
        """The same with counters of images as they grew since `earlier`."""
        grown = {
            name: str(self.count(name) - earlier.count(name))
            for name in self.values
            if name.startswith(("images.", "dropped.")) and self.count(name) != earlier.count(name)
        }
        rest = {name: value for name, value in self.values.items() if not name.startswith(("images.", "dropped."))}
        return NodeStatus(self.level, self.message, rest | grown)


class NodeControl:
    """Service clients of one node; `node` must be spun by somebody else's thread."""

    def __init__(self, node: Node, name: str = "geodistill", alive: Callable[[], bool] = lambda: True) -> None:
        self._alive = alive
        self._change: Any = node.create_client(ChangeState, f"{name}/change_state")
        self._state: Any = node.create_client(GetState, f"{name}/get_state")
        self._status: Any = node.create_client(Trigger, f"{name}/status")

    def state(self, timeout_s: float) -> str:
        """The lifecycle state; raises NodeControlError after `timeout_s`."""
        return str(self._ask(self._state, GetState.Request(), timeout_s).current_state.label)

    def status(self, timeout_s: float = 10.0) -> NodeStatus:
        """How the node is; raises NodeControlError after `timeout_s`."""
        answer = json.loads(self._ask(self._status, Trigger.Request(), timeout_s).message)
        return NodeStatus(answer["level"], answer["message"], answer["values"])

    def configure(self, timeout_s: float = 120.0) -> None:
        """Load model and map; raises NodeControlError with the node's own sentence where it refuses."""
        self._transit(Transition.TRANSITION_CONFIGURE, "unconfigured", "inactive", timeout_s)

    def activate(self, timeout_s: float = 20.0) -> None:
        """Start listening."""
        self._transit(Transition.TRANSITION_ACTIVATE, "inactive", "active", timeout_s)

    def deactivate(self, timeout_s: float = 20.0) -> None:
        """Stop listening."""
        self._transit(Transition.TRANSITION_DEACTIVATE, "active", "inactive", timeout_s)

    def _transit(self, transition: int, start: str, goal: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._wait_for_service(self._change, deadline)
        while time.monotonic() < deadline:
            answer = self._once(self._change, ChangeState.Request(transition=Transition(id=transition)))
            state = self.state(deadline - time.monotonic())  # answered once the transition is over
            if state == goal:
                return
            if answer is not None or state != start:
                raise NodeControlError(f"the node stays {state}: {self.status().message}")
        raise NodeControlError(f"the node did not become {goal} within {timeout_s:.0f} s")

    def _ask(self, client: Any, request: Any, timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        self._wait_for_service(client, deadline)
        while time.monotonic() < deadline:
            answer = self._once(client, request)
            if answer is not None:
                return answer
            self._check_alive()
        raise NodeControlError(f"{client.srv_name} did not answer within {timeout_s:.0f} s")

    def _once(self, client: Any, request: Any) -> Any | None:
        """One question; None where no answer came in time."""
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if done.wait(_ANSWER_S):
            return future.result()
        client.remove_pending_request(future)
        return None

    def _wait_for_service(self, client: Any, deadline: float) -> None:
        while not client.wait_for_service(0.5):
            self._check_alive()
            if time.monotonic() > deadline:
                raise NodeControlError(f"no service {client.srv_name}; is the node running in this domain?")

    def _check_alive(self) -> None:
        if not self._alive():
            raise NodeControlError("the node's process has ended; its log says why")
