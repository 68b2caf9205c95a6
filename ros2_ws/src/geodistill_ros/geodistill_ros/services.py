# SPDX-License-Identifier: Apache-2.0
"""What operators may ask of a configured node; each answers at once, with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from std_srvs.srv import Trigger

from geodistill_ros.session import Session

REQUESTS: dict[str, Callable[[Session], tuple[bool, str]]] = {
    "preload_map": Session.preload_map,
    "reset": Session.reset,
    "save_debug": Session.save_debug,
    "save_mount": Session.save_mount,
}


def offer_services(node: Any, session: Callable[[], Session | None], guard: Callable[[str, Any], Any]) -> None:
    """Create the services; `session` gives what is configured now, `guard` wraps callbacks."""
    for name, request in REQUESTS.items():
        node.create_service(Trigger, f"~/{name}", _answering(guard(name, _filling(session, request))))


def _answering(fill: Callable[[Trigger.Response], None]) -> Callable[..., Trigger.Response]:
    def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        fill(response)
        return response

    return answer


def _filling(
    session: Callable[[], Session | None], request: Callable[[Session], tuple[bool, str]]
) -> Callable[[Trigger.Response], None]:
    def fill(response: Trigger.Response) -> None:
        configured = session()
        if configured is None:
            response.message = "the node is not configured; configure and activate it first"
        else:
            response.success, response.message = request(configured)

    return fill
