# SPDX-License-Identifier: Apache-2.0
"""`geodistill locate`: locate one image on a map."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from geodistill_core.cli.calibrate import warn_uncalibrated
from geodistill_core.cli.output import JsonOption, emit, table

app = typer.Typer(add_completion=False)


@app.command()
def locate(
    *,
    image: Annotated[Path, typer.Option(help="Panorama (2:1) or, with --camera, a perspective picture.")],
    lat: Annotated[float, typer.Option(help="Latitude of the GNSS position, degrees.")],
    lon: Annotated[float, typer.Option(help="Longitude of the GNSS position, degrees.")],
    map_path: Annotated[Path, typer.Option("--map", help="Imagery: MBTiles, GeoTIFF or a folder of tiles.")],
    model: Annotated[str, typer.Option(help="Name of a shipped checkpoint, or a checkpoint folder.")] = "tiny",
    orientation_model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Checkpoint of an orientation network, whose belief about the heading is added."),
    ] = None,
    bearing_deg: Annotated[float, typer.Option(help="Compass heading: 0 north, clockwise.")] = 0.0,
    sigma_m: Annotated[float, typer.Option(help="Standard deviation of the position along an axis.")] = 8.0,
    sigma_yaw_deg: Annotated[float, typer.Option(help="Standard deviation of the heading.")] = 10.0,
    height_m: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Height of the camera above the ground; by default a guess, 2.0."),
    ] = None,
    sigma_height_m: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Standard deviation of that height; by default 0, and 0.3 where it is a guess."),
    ] = None,
    roll_deg: Annotated[float, typer.Option(help="Roll of the vehicle, right side down.")] = 0.0,
    pitch_deg: Annotated[float, typer.Option(help="Pitch of the vehicle, nose down.")] = 0.0,
    prior: Annotated[str, typer.Option(help="gaussian, or flat: the image's likelihood alone.")] = "gaussian",
    camera: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Calibration of a pinhole camera (YAML as camera_calibration writes it)."),
    ] = None,
    overlay: Annotated[Path, typer.Option(help="Picture of the answer on its tile.")] = Path("locate-overlay.png"),
    json_path: JsonOption = None,
) -> None:
    """Locate one image on a map, given roughly where and how the camera stood."""
    from geodistill_core.cli.picture import read_ground_image, write_png
    from geodistill_core.geometry.angles import yaw_from_bearing
    from geodistill_core.localization import Localizer, LocalizerConfig
    from geodistill_core.localization.overlay import render_overlay
    from geodistill_core.types import Prior

    yaw_rad = yaw_from_bearing(math.radians(bearing_deg))
    start = Prior(lat, lon, sigma_m, yaw_rad, math.radians(sigma_yaw_deg))
    config = LocalizerConfig(prior=prior, orientation_model=orientation_model)  # type: ignore[arg-type]  # validated there
    roll_rad, pitch_rad = math.radians(roll_deg), math.radians(pitch_deg)
    ground = read_ground_image(image, camera, height_m, sigma_height_m, roll_rad, pitch_rad)
    localizer = Localizer.load(model, map_path, config)
    warn_uncalibrated(model)
    estimate = localizer.locate(ground, start)
    write_png(overlay, render_overlay(estimate, prior=start.point))
    payload = describe(estimate) | {"model": localizer.manifest.name, "overlay": str(overlay)}
    emit(payload, json_path, lambda out: _render(out, payload))


def describe(estimate: Any) -> dict[str, Any]:
    """An estimate as JSON values: degrees, metres, radians."""
    from geodistill_core.geometry.angles import bearing_from_yaw, wrap

    yaw_rad = float(wrap(estimate.yaw_enu_rad))
    sigma = [math.sqrt(float(variance)) for variance in estimate.covariance.diagonal()]
    return {
        "latitude": estimate.latitude,
        "longitude": estimate.longitude,
        "yaw_enu_rad": yaw_rad,
        "bearing_deg": math.degrees(float(bearing_from_yaw(yaw_rad))) % 360.0,
        "sigma_east_m": sigma[0],
        "sigma_north_m": sigma[1],
        "sigma_yaw_deg": math.degrees(sigma[2]),
        "covariance": [[float(value) for value in row] for row in estimate.covariance],
        "status": estimate.status.value,
        "modes": [
            {"east_m": m.east_m, "north_m": m.north_m, "yaw_enu_rad": m.yaw_enu_rad, "mass": m.mass}
            for m in estimate.modes
        ],
        "attribution": estimate.tile.attribution,
    }


def _render(out: Console, answer: dict[str, Any]) -> None:
    shown = table("Estimate", "", "", "± 1 σ")
    shown.add_row("latitude", f"{answer['latitude']:.7f}°", f"{answer['sigma_north_m']:.2f} m")
    shown.add_row("longitude", f"{answer['longitude']:.7f}°", f"{answer['sigma_east_m']:.2f} m")
    shown.add_row("bearing", f"{answer['bearing_deg']:.1f}°", f"{answer['sigma_yaw_deg']:.1f}°")
    shown.add_row("status", answer["status"], "")
    out.print(shown)
    out.print(f"overlay: {answer['overlay']}")
