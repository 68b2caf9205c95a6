# SPDX-License-Identifier: Apache-2.0
"""Put a localizer's network on a back end, once the first image has shown for which shapes."""

from __future__ import annotations

import logging
import threading
import time

from geodistill_core.errors import ConfigError, RuntimeBackendError
from geodistill_core.localization.localizer import Localizer
from geodistill_core.runtime.cache import Say
from geodistill_core.runtime.child import BuildStoppedError
from geodistill_core.runtime.ladder import Choice, RuntimeOptions, Work, compiled
from geodistill_core.runtime.profile import Profile
from geodistill_core.types import GroundImage

log = logging.getLogger(__name__)


class Attached:
    """Compiles for the first image that `localizer` is given, and has it run the compiled network from then on.

    In the foreground that image waits, and every image raises what went wrong. In the background the network as it is
    serves until the compiled one is ready, and after a failure, which `trouble` tells.
    """

    def __init__(
        self, localizer: Localizer, options: RuntimeOptions, *, background: bool = False, say: Say = log.info
    ) -> None:
        self.options = options
        self._localizer, self._background, self._say = localizer, background, say
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._plain = localizer.network
        self._choice, self._last_said, self._begun_s = Choice(), "", 0.0
        self._error: RuntimeBackendError | None = None
        self._thread: threading.Thread | None = None
        if not options.plain:
            localizer.before_locating(self._meet)

    def close(self, timeout_s: float = 5.0) -> None:
        """End a build that still runs."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def facts(self) -> dict[str, str]:
        """What runs the network now, why not another back end, and what is under way."""
        with self._lock:
            facts = self._choice.facts()
            if self._begun_s:
                facts["runtime.state"] = f"compiling for {time.monotonic() - self._begun_s:.0f} s: {self._last_said}"
            elif self._error is not None:
                facts["runtime.state"] = f"failed: {self._error}"
            return facts

    def trouble(self) -> str:
        """A sentence where the back end that was asked for cannot be used, else an empty one."""
        with self._lock:
            return "" if self._error is None else f"the network runs on plain torch: {self._error}"

    def give_up(self, cause: str) -> bool:
        """Have the network as it is serve on the processor from now on; False where it does already.

        For a compiled network that fails while it runs; `facts` tell the cause beside the back end's name.
        """
        if self._localizer.network is self._plain:
            return False
        with self._lock:
            failed = self._choice.runtime
            if self.options.runtime != "auto":
                self._error = RuntimeBackendError(f"{failed} failed while it ran: {cause}")
            self._choice = Choice(refused=(*self._choice.refused, (failed, cause)))
        self._localizer.run_on(self._plain)
        log.error("runtime %s is given up, torch serves on the processor: %s", failed, cause)
        return True

    def _meet(self, image: GroundImage) -> None:
        """An image is about to be localized."""
        if self._error is not None and not self._background:
            raise self._unusable(self._error)
        if self._thread is not None or self._error is not None:
            return
        network, config = self._localizer.network, self._localizer.config
        profile = Profile.of(network, image, config)
        work = Work(network, self._localizer.manifest, profile, self.options, self._heard, self._stop)
        self._begun_s = time.monotonic()
        if not self._background:
            self._compile(work)
            if self._error is not None:
                raise self._unusable(self._error)
        else:
            self._thread = threading.Thread(target=self._compile, args=(work,), name="compiling", daemon=True)
            self._thread.start()

    def _unusable(self, error: RuntimeBackendError) -> ConfigError:
        return ConfigError(f"runtime {self.options.runtime} cannot be used: {error}")

    def _compile(self, work: Work) -> None:
        try:
            network, choice = compiled(work)
        except BuildStoppedError:
            pass
        except RuntimeBackendError as error:
            log.warning("runtime %s cannot be used: %s", self.options.runtime, error)
            with self._lock:
                self._error = error
        else:
            with self._lock:
                self._choice = choice
            if network is not self._localizer.network:
                self._localizer.run_on(network)
            self._localizer.before_locating(None)
            _tell(choice)
        finally:
            with self._lock:
                self._begun_s = 0.0

    def _heard(self, text: str) -> None:
        with self._lock:
            self._last_said = text
        self._say(text)


def _tell(choice: Choice) -> None:
    """Nothing falls back silently: what could not be taken is a warning."""
    for name, why in choice.refused:
        log.warning("runtime %s is not taken: %s", name, why)
    log.info("the network runs on %s, %s, %s", choice.runtime, choice.precision, choice.device)
