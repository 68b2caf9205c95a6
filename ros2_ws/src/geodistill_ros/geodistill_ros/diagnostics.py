# SPDX-License-Identifier: Apache-2.0
"""How the node is: one pure function from facts to level and sentence, and the message around it."""

from __future__ import annotations

from dataclasses import dataclass, field

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

WARN_SILENCE_S = 1.0
ERROR_SILENCE_S = 3.0
WARN_ANSWER_SILENCE_S = 3.0
MANY_FAILURES = 5

OK, WARN, ERROR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Health:
    """What the judgement rests on. Ages in wall seconds since arrival; None means never since activation."""

    state: str
    refusal: str = ""
    active_for_s: float = 0.0
    image_publishers: int = 1
    image_age_s: float | None = None
    fix_age_s: float | None = None
    answer_age_s: float | None = None
    inference_running_s: float = 0.0
    inference_limit_s: float = 5.0
    failures_in_a_row: int = 0
    calibrated: bool = True
    newest_drop: str = ""
    map_trouble: str = ""
    values: dict[str, str] = field(default_factory=dict)


def judge(health: Health) -> tuple[int, str]:
    """Level and sentence: the gravest finding speaks."""
    if health.refusal:
        return ERROR, health.refusal
    if health.state != "active":
        return WARN, f"node is {health.state}; no poses until it is active"
    image_silence_s = health.active_for_s if health.image_age_s is None else health.image_age_s
    fix_silence_s = health.active_for_s if health.fix_age_s is None else health.fix_age_s
    answer_silence_s = health.active_for_s if health.answer_age_s is None else health.answer_age_s
    nobody = "nobody publishes it" if health.image_publishers == 0 else "images may be lost: see fastdds.xml"
    because = f"; last drop: {health.newest_drop}" if health.newest_drop else ""
    findings = (
        (
            ERROR,
            health.inference_running_s > health.inference_limit_s,
            f"inference runs for {health.inference_running_s:.1f} s, limit {health.inference_limit_s:.1f} s",
        ),
        (
            ERROR,
            health.failures_in_a_row >= MANY_FAILURES,
            f"inference failed {health.failures_in_a_row} times in a row{because}",
        ),
        (ERROR, image_silence_s > ERROR_SILENCE_S, f"no image for {image_silence_s:.1f} s: {nobody}"),
        (WARN, image_silence_s > WARN_SILENCE_S, f"no image for {image_silence_s:.1f} s: {nobody}"),
        (WARN, fix_silence_s > 2.0, f"no GNSS fix for {fix_silence_s:.1f} s; check `fix` and gnss.rejected"),
        (
            WARN,
            answer_silence_s > WARN_ANSWER_SILENCE_S,
            f"no pose for {answer_silence_s:.1f} s although images arrive{because}",
        ),
        (WARN, bool(health.map_trouble), health.map_trouble),
        (
            WARN,
            not health.calibrated,
            "the checkpoint carries no calibration: covariances are not to be trusted",
        ),
    )
    for level, applies, sentence in findings:
        if applies:
            return level, sentence
    return OK, "localizing"


def diagnostic_array(health: Health, stamp: Time, name: str, hardware_id: str) -> DiagnosticArray:
    """`/diagnostics` message with every value as a key."""
    level, sentence = judge(health)
    status = DiagnosticStatus(level=bytes([level]), name=name, message=sentence, hardware_id=hardware_id)
    status.values = [KeyValue(key=key, value=value) for key, value in sorted(health.values.items())]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
