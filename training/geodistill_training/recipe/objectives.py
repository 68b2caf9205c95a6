# SPDX-License-Identifier: Apache-2.0
"""The options of every objective; their defaults are the papers'."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from geodistill_training.recipe.strict import Strict


def _rising(degrees: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= degrees[0] < degrees[1] <= 360:
        raise ValueError(f"visible_deg {degrees} must rise within 1 and 360; the last degree is excluded")
    return degrees


VisibleDegrees = Annotated[tuple[int, int], AfterValidator(_rising)]
"""What a random field of view leaves of 360 degrees: from the first number to one below the last."""


class PretextRecipe(Strict):
    """The flat-world pretext: wrong yaws are drawn up to `yaw_spread_deg` from the true one."""

    yaw_spread_deg: float = Field(180.0, ge=6, le=180)
    wrong_yaws: int = Field(2, ge=0, le=16)


class WeakRecipe(Strict):
    """Batch-wise contrast (G2SWeakly). `turned_negatives` headings per image are negatives too.

    `form` "published" has maps choose among images and counts true pairs as their own negatives, "symmetric" also has
    images choose among maps and does not; `sharpness` is that of similarities (published: 10 on distances, which are
    twice as long). `gps_coefficient` weighs G2SWeakly's second term, for data whose tiles are centred on a GNSS fix:
    the best fit within `gps_radius_m` of the centre shall be the best fit. `visible_deg` hides all but a random field
    of view (GeoDistill's masks as plain augmentation).
    """

    form: Literal["symmetric", "published"] = "symmetric"
    sharpness: float = Field(20.0, gt=0, le=200)
    turned_negatives: int = Field(0, ge=0, le=8)
    gps_coefficient: float = Field(0.0, ge=0, le=10)
    gps_radius_m: float = Field(5.0, gt=0, le=50)
    visible_deg: VisibleDegrees | None = None


class DistillRecipe(Strict):
    """GeoDistill (section 3.3) and its ablations.

    `mask` hides a field of view, random patches or the strongest activations from the student, in its `image` and in
    its `features`; a field of view leaves `visible_deg` of 360 degrees of what the image shows, whatever its width, and
    `wrap`s around the panorama's seam (published bands do not); patches of `patch_px` and activations hide
    `hidden_share`. `teacher_decay` weighs the old teacher at each update of an `ema` teacher, every `teacher_period`
    steps ("epoch": once per pass over the data); "previous" is a copy of the student at that rhythm, "fixed" never
    changes. `target` "sharpened" divides similarities by `temperature`, "unsharpened" by the student's own,
    "single_mode" is one-hot at the maximum. The teacher averages `turns` map orientations. The student learns from the
    `confident_share` of each batch in which the teacher's heat map has most mass around its mode (the paper: from all).
    """

    mask: Literal["fov", "patch", "activation", "none"] = "fov"
    masked: Literal["image", "features", "both"] = "both"
    visible_deg: VisibleDegrees = (180, 240)
    wrap: bool = True
    hidden_share: float = Field(0.4, gt=0, lt=1)
    patch_px: int = Field(16, ge=4, le=128)
    teacher: Literal["ema", "previous", "fixed"] = "ema"
    teacher_decay: float = Field(0.9, ge=0, lt=1)
    teacher_period: int | Literal["epoch"] = "epoch"
    target: Literal["sharpened", "unsharpened", "single_mode"] = "sharpened"
    temperature: float = Field(0.06, gt=0, le=1)
    student_temperature: float = Field(0.06, gt=0, le=1)
    divergence: Literal["cross_entropy", "kl"] = "cross_entropy"
    yaws_deg: tuple[float, ...] = (0.0,)
    turns: Literal[1, 4] = 1
    confident_share: float = Field(1.0, gt=0, le=1)
    keep: Literal["teacher", "student"] = "teacher"


class AdaptRecipe(Strict):
    """Adaptation to a new area (second paper): pseudo ground truth from a teacher, an auxiliary and a final student.

    `target` "mode" puts a Gaussian of `sigma_cells` on the teacher's mode, "heatmap" takes its whole heat map;
    `levels` "coarse" supervises the `coarse_levels` coarsest levels (K'), "all" all of them; `kept_share` is T.
    The teacher looks `search_deg` to both sides of the heading prior. CCVPE's loss is the published one; other networks
    compare the headings `yaws_deg` from the pseudo label's, and `temperature` divides similarities before the softmax.
    """

    target: Literal["mode", "heatmap"] = "mode"
    sigma_cells: float = Field(4.0, gt=0, le=32)
    levels: Literal["coarse", "all"] = "coarse"
    coarse_levels: int = Field(2, ge=1, le=6)
    filter: bool = True
    kept_share: float = Field(0.8, gt=0, le=1)
    search_deg: float = Field(6.0, ge=0, le=180)
    yaws_deg: tuple[float, ...] = (0.0,)
    temperature: float = Field(0.05, gt=0, le=1)

    @field_validator("yaws_deg")
    @classmethod
    def _one_is_right(cls, yaws_deg: tuple[float, ...]) -> tuple[float, ...]:
        if yaws_deg.count(0.0) != 1:
            raise ValueError(f"yaws_deg {yaws_deg} must hold 0, the pseudo label's heading, once")
        return yaws_deg


class OrientationRecipe(Strict):
    """Soft-label classification of the heading (GeoDistill, section 3.4); `sigma_classes` is the label's width."""

    sigma_classes: float = Field(1.0, gt=0, le=20)


class SupervisedRecipe(Strict):
    """The networks' own supervised losses.

    `sigma_cells` is the width of CCVPE's Gaussians. `tiny` learns its joint heat map among right headings and
    `wrong_yaws` up to `yaw_spread_deg` away. The losses of the other networks leave nothing to choose.
    """

    sigma_cells: float = Field(4.0, gt=0, le=32)
    yaw_spread_deg: float = Field(180.0, ge=6, le=180)
    wrong_yaws: int = Field(2, ge=0, le=16)
