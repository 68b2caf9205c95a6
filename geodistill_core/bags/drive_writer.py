# SPDX-License-Identifier: Apache-2.0
"""Any vehicle's readings to a drive that can be replayed: a recording and its sidecar."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from geodistill_core.bags.drive_topics import DriveTopics
from geodistill_core.bags.manifest import DriveManifest, save_manifest, sha256_of
from geodistill_core.bags.storage.containers import CHUNK_BYTES
from geodistill_core.bags.writer import BagWriter
from geodistill_core.camera import check_mount
from geodistill_core.errors import ConfigError
from geodistill_core.types import Array, GeoPoint


class DriveWriter(DriveTopics):
    """Records a vehicle: `image`, `fix`, `attitude` or `rates`, `motion` and `truth`, each with its stamp.

    A context manager. `path` ends in .mcap or .db3; recording and sidecar (`drive.json` beside `drive.mcap`) appear
    together when it is left, and neither when it is left by an exception. `T_base_camera` (4x4) maps the camera's
    frame to the base (`forward_optical_mount`, `level_mount`); `map_name` names imagery in the same folder.

        with DriveWriter("drive.mcap", forward_optical_mount(1.4), map_name="tiles.mbtiles") as drive:
            drive.image(stamp_ns, Path("frame.jpg").read_bytes(), camera)
            drive.fix(stamp_ns, GeoPoint(47.5, 8.7), sigma_m=5.0)

    Raises:
        BagError: the path has another suffix or cannot be written.
        ConfigError: mount or chunk size are outside their limits, or the map lies elsewhere.
    """

    def __init__(
        self,
        path: Path | str,
        T_base_camera: Array,
        *,
        datum: GeoPoint | None = None,
        map_name: str | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.path = Path(path)
        self._map = None if map_name is None else self.path.parent / map_name
        if self._map is not None and self._map.name != map_name:
            raise ConfigError(f"map {map_name} must lie beside {self.path}; move it there and give its name alone")
        check_mount(T_base_camera)  # before there is a file
        self._bag = BagWriter(self.path, chunk_bytes=chunk_bytes)
        super().__init__(self._bag, T_base_camera, datum)

    def __enter__(self) -> DriveWriter:
        self._bag.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bag.__exit__(kind, error, trace)
        if kind is None:
            files = [path for path in (self.path, self._map) if path is not None and path.exists()]
            manifest = DriveManifest(
                T_base_camera=tuple(tuple(row) for row in self._mount.tolist()),
                topics=self.topics,
                map=self._map.name if self._map is not None else None,
                sha256={file.name: sha256_of(file) for file in files},
            )
            save_manifest(self.path, manifest)
