# SPDX-License-Identifier: Apache-2.0
"""The message of `/diagnostics`: level and sentence as the conditions have them, and every value as a key."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from geodistill_ros.conditions import Health, judge


def diagnostic_array(health: Health, stamp: Time, name: str, hardware_id: str) -> DiagnosticArray:
    """`/diagnostics` message with every value as a key."""
    level, sentence = judge(health)
    status = DiagnosticStatus(level=bytes([level]), name=name, message=sentence, hardware_id=hardware_id)
    status.values = [KeyValue(key=key, value=value) for key, value in sorted(health.values.items())]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
