# SPDX-License-Identifier: Apache-2.0
"""How the node is, as a table: every condition with its level, its sentence and what to do. Docs are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

WARN_SILENCE_S = 1.0
ERROR_SILENCE_S = 3.0
WARN_FIX_SILENCE_S = 2.0
WARN_ANSWER_SILENCE_S = 3.0
WARN_FROZEN_S = 1.0
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
    unsupported_image: str = ""
    camera_trouble: str = ""
    frozen_s: float = 0.0
    sigma_stated: bool = True
    newest_drop: str = ""
    track_trouble: str = ""
    track_lost: bool = False
    suspect: str = ""
    other_authority: str = ""
    mount_trouble: str = ""
    debug_trouble: str = ""
    map_trouble: str = ""
    runtime_trouble: str = ""
    values: dict[str, str] = field(default_factory=dict)

    def silence_s(self, age_s: float | None) -> float:
        """Seconds without a message: since the last one, or since activation."""
        return self.active_for_s if age_s is None else age_s


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that may be wrong: `sentence` is empty where it is not; `when` and `remedy` are for people."""

    level: int
    when: str
    remedy: str
    sentence: Callable[[Health], str]


def _refused(health: Health) -> str:
    return health.refusal


def _inactive(health: Health) -> str:
    return "" if health.state == "active" else f"node is {health.state}; no poses until it is active"


def _hangs(health: Health) -> str:
    running_s, limit_s = health.inference_running_s, health.inference_limit_s
    return f"inference runs for {running_s:.1f} s, limit {limit_s:.1f} s" if running_s > limit_s else ""


def _fails(health: Health) -> str:
    count = health.failures_in_a_row
    return f"inference failed {count} times in a row{_because(health)}" if count >= MANY_FAILURES else ""


def _unsupported_image(health: Health) -> str:
    return health.unsupported_image


def _camera(health: Health) -> str:
    return f"CameraInfo cannot be used: {health.camera_trouble}" if health.camera_trouble else ""


def _frozen(health: Health) -> str:
    text = f"the camera has shown the same picture for {health.frozen_s:.1f} s; restart its driver"
    return text if health.frozen_s > WARN_FROZEN_S else ""


def _sigma_unstated(health: Health) -> str:
    text = "the fixes state no covariance; `gnss_default_sigma_m` stands in for it"
    return "" if health.sigma_stated else text


def _no_image(limit_s: float) -> Callable[[Health], str]:
    def sentence(health: Health) -> str:
        silence_s = health.silence_s(health.image_age_s)
        why = "nobody publishes it" if health.image_publishers == 0 else "images may be lost: see fastdds.xml"
        return f"no image for {silence_s:.1f} s: {why}" if silence_s > limit_s else ""

    return sentence


def _no_fix(health: Health) -> str:
    silence_s = health.silence_s(health.fix_age_s)
    text = f"no GNSS fix for {silence_s:.1f} s; check `fix` and gnss.rejected"
    return text if silence_s > WARN_FIX_SILENCE_S else ""


def _no_answer(health: Health) -> str:
    silence_s = health.silence_s(health.answer_age_s)
    text = f"no pose for {silence_s:.1f} s although images arrive{_because(health)}"
    return text if silence_s > WARN_ANSWER_SILENCE_S else ""


def _track(*, lost: bool) -> Callable[[Health], str]:
    return lambda health: health.track_trouble if health.track_lost is lost else ""


def _suspect(health: Health) -> str:
    return f"SUSPECT: {health.suspect}" if health.suspect else ""


def _authority(health: Health) -> str:
    return health.other_authority


def _mount(health: Health) -> str:
    return health.mount_trouble


def _debug(health: Health) -> str:
    return health.debug_trouble


def _map(health: Health) -> str:
    return health.map_trouble


def _runtime(health: Health) -> str:
    return health.runtime_trouble


def _uncalibrated(health: Health) -> str:
    return (
        ""
        if health.calibrated
        else "the checkpoint has no calibration for this output: covariances are four times as large"
    )


def _because(health: Health) -> str:
    return f"; last drop: {health.newest_drop}" if health.newest_drop else ""


# The gravest first; the first that applies speaks.
CONDITIONS = (
    Condition(
        ERROR,
        "`configure` was refused: a parameter, the map or the checkpoint cannot be used",
        "the sentence names the value, the limit and the remedy; set it right and configure again",
        _refused,
    ),
    Condition(
        WARN, "the node is not active", "configure and activate it, or start it with `autostart: true`", _inactive
    ),
    Condition(
        ERROR,
        "one inference runs longer than `inference_timeout_s`",
        "the machine is too slow or the accelerator hangs; restart the node, choose a smaller network",
        _hangs,
    ),
    Condition(
        ERROR,
        f"inference failed {MANY_FAILURES} times in a row",
        "the sentence ends with the last error; restart the node, then report it",
        _fails,
    ),
    Condition(
        ERROR,
        "the track is LOST or in FAULT",
        "the sentence ends with the cause; it is acquired anew by itself where images and GNSS come back",
        _track(lost=True),
    ),
    Condition(
        ERROR,
        "another node, or a static transform, places the frame that `tf` asks us to place",
        "stop the other one, or set `tf` to `none`; we begin some seconds after the other one has ended",
        _authority,
    ),
    Condition(
        ERROR,
        "the images have an encoding that is not supported",
        "the sentence lists those that are; set the driver to one of them, or convert upstream",
        _unsupported_image,
    ),
    Condition(
        ERROR,
        "the CameraInfo cannot be used: no focal length, NaN, another camera model",
        "calibrate the camera, publish the CameraInfo that belongs to its images",
        _camera,
    ),
    Condition(
        ERROR,
        f"no image for {ERROR_SILENCE_S:g} s",
        "check the camera driver and the topic; large images need the DDS profile",
        _no_image(ERROR_SILENCE_S),
    ),
    Condition(WARN, f"no image for {WARN_SILENCE_S:g} s", "as above", _no_image(WARN_SILENCE_S)),
    Condition(
        WARN,
        f"the camera shows the same picture for {WARN_FROZEN_S:g} s, to the last bit",
        "restart the camera's driver; poses go on, from what may be an old picture",
        _frozen,
    ),
    Condition(
        WARN,
        f"no GNSS fix for {WARN_FIX_SILENCE_S:g} s",
        "check the receiver, the topic, and the counters `gnss.rejected.*`",
        _no_fix,
    ),
    Condition(
        WARN,
        f"no pose for {WARN_ANSWER_SILENCE_S:g} s although images arrive",
        "the sentence ends with the reason of the last dropped image; see the table of reasons",
        _no_answer,
    ),
    Condition(
        WARN,
        "image, GNSS and dead reckoning do not agree (`track.suspect`); the covariance covers both",
        "distrust the one that the sentence names; look for multipath, a wrong mount, slipping wheels",
        _suspect,
    ),
    Condition(
        WARN,
        "the track is DEGRADED",
        "the sentence ends with the cause: no image, no fix, a wide or jumping pose",
        _track(lost=False),
    ),
    Condition(
        WARN,
        "the camera's mount does not fit what the images show (`mount.*`)",
        "measure again, take what the sentence says (`~/save_mount` writes a file), or set `mount_calibration: apply`",
        _mount,
    ),
    Condition(
        WARN,
        "frames could not be saved to `debug_dir`",
        "make room or choose another folder, then `cleanup` and `configure`; localization goes on without",
        _debug,
    ),
    Condition(
        WARN,
        "the map's service is offline or degraded, or the tile here is incomplete or stale",
        "wait, check the network, or prepare the area beforehand (`geodistill map fetch`)",
        _map,
    ),
    Condition(
        WARN,
        "the back end named by `runtime` cannot be used, or the network could not be compiled in time",
        "`runtime.state` and the log say why; torch localizes meanwhile, more slowly",
        _runtime,
    ),
    Condition(
        WARN,
        "the newest fix states no covariance",
        "have the receiver's driver state one, or set `gnss_default_sigma_m` to what its data sheet says",
        _sigma_unstated,
    ),
    Condition(
        WARN,
        "the checkpoint carries no calibration for `output`",
        "use a calibrated checkpoint; until then do not trust the covariances",
        _uncalibrated,
    ),
)


def judge(health: Health) -> tuple[int, str]:
    """Level and sentence: the gravest finding speaks."""
    for condition in CONDITIONS:
        sentence = condition.sentence(health)
        if sentence:
            return condition.level, sentence
    return OK, "localizing"
