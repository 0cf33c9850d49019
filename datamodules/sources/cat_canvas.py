"""Shapes in face coordinates, and the canvas that turns them into pixels.

Face coordinates: the origin is the middle of the head, x to the right and y down, 1 is half the head's width.
The tip of the nose is near (0, 0.3), the tips of the ears near (+-0.75, -1.3).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

from datamodules.sources.cat_traits import Color, Pose

Points = npt.NDArray[np.float64]

_SUPERSAMPLE = 3
_SMALLEST_SIDE = 160  # pixels painted per side before the reduction: thin whiskers need them at any size
_SOFT_SIDE = 48  # soft shapes hold no detail: they are computed on a grid this fine and enlarged
_ANGLES = np.linspace(0, 2 * math.pi, 28, endpoint=False)[:, None]
_CIRCLE: Points = np.hstack([np.cos(_ANGLES), np.sin(_ANGLES)])
_T = np.linspace(0, 1, 9)[:, None]  # the parameter along a brush stroke
_BEZIER: Points = np.hstack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2])
_BEZIER_SLOPE: Points = np.hstack([2 * _T - 2, 2 - 4 * _T, 2 * _T])
_BLUNT: Points = np.sqrt(1 - _T)
_POINTED: Points = np.sqrt((1 - _T) * np.minimum(1, 4 * _T))


@functools.cache
def _spline_weights(steps: int) -> Points:
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    return 0.5 * np.hstack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    )


def curve(control: Sequence[tuple[float, float]] | Points, steps: int = 8) -> Points:
    """Return a closed Catmull-Rom curve through the control points, steps points for each of them."""
    corners = np.asarray(control, dtype=np.float64)
    neighbors = (np.arange(len(corners))[:, None] + np.array([-1, 0, 1, 2])) % len(corners)
    points: Points = _spline_weights(steps) @ corners[neighbors]
    return points.reshape(-1, 2)


def ellipse(x: float, y: float, width: float, height: float) -> Points:
    """Return an ellipse around (x, y) with these half axes."""
    return _CIRCLE * [width, height] + [x, y]


def stroke(ends: Sequence[tuple[float, float]], width: float, blunt: bool = False) -> Points:
    """Return the outline of a brush stroke along a quadratic Bezier curve.

    Args:
        ends: start, control point and end.
        width: half the width at the thickest place.
        blunt: only the end is pointed, not the start.
    """
    corners = np.asarray(ends, dtype=np.float64)
    spine, along = _BEZIER @ corners, _BEZIER_SLOPE @ corners
    normal = along[:, ::-1] * [-1, 1] / (np.hypot(along[:, :1], along[:, 1:]) + 1e-9)
    side = normal * width * (_BLUNT if blunt else _POINTED)
    return np.concatenate([spine + side, (spine - side)[::-1]])


class Canvas:
    """A square picture, larger than the result, that is painted in face coordinates."""

    def __init__(self, size: int, pose: Pose) -> None:
        self.pose = pose
        self.size = size
        self.side = size * max(_SUPERSAMPLE, math.ceil(_SMALLEST_SIDE / size))
        self.image = Image.new("RGB", (self.side, self.side))
        self.pen = ImageDraw.Draw(self.image, "RGBA")
        self.head = Image.new("L", self.image.size)
        self.cat = Image.new("L", self.image.size)
        cos, sin = math.cos(pose.roll), math.sin(pose.roll)
        self._to_pixels: Points = np.array([[cos, sin], [-sin, cos]]) * pose.scale * self.side
        self._origin: Points = np.array(pose.center) * self.side
        self._turn: Points = np.array([pose.yaw, pose.pitch])
        self._soft_x, self._soft_y = self.face_grid(_SOFT_SIDE)

    def face_grid(self, side: int) -> tuple[Points, Points]:
        """Return the face coordinates x and y of the pixel centers of a side x side picture."""
        steps = (np.arange(side) + 0.5) / side
        x = (steps[None, :] - self.pose.center[0]) / self.pose.scale
        y = (steps[:, None] - self.pose.center[1]) / self.pose.scale
        cos, sin = math.cos(self.pose.roll), math.sin(self.pose.roll)
        return x * cos + y * sin, y * cos - x * sin

    def turned(self, points: Points) -> Points:
        """Turn the head: what is in the middle of the face comes forward and moves most."""
        bulge = np.maximum(0, 1 - points[:, :1] ** 2 - points[:, 1:] ** 2)
        moved: Points = points + bulge * self._turn
        return moved

    def pixels(self, points: Points) -> list[float]:
        """Return the pixel coordinates of points as Pillow wants them: x, y, x, y..."""
        flat: list[float] = (points @ self._to_pixels + self._origin).ravel().tolist()
        return flat

    def upright_pixels(self, points: Points) -> list[float]:
        """Return the same for what stays upright while the head tilts."""
        flat: list[float] = (points * (self.pose.scale * self.side) + self._origin).ravel().tolist()
        return flat

    def fill(self, points: Points, color: Color, opacity: float = 1.0) -> None:
        """Paint a shape that lies on the face."""
        self.pen.polygon(self.pixels(self.turned(points)), fill=(*color, round(255 * opacity)))

    def mask(
        self, shapes: Sequence[Points], within: Image.Image | None = None, opacity: float = 1.0
    ) -> Image.Image:
        """Return a mask of shapes that lie on the face, cut by another mask."""
        mask = Image.new("L", self.image.size)
        pen = ImageDraw.Draw(mask)
        for points in shapes:
            pen.polygon(self.pixels(self.turned(points)), fill=round(255 * opacity))
        return mask if within is None else ImageChops.multiply(mask, within)

    def stamp(self, mask: Image.Image, color: Color) -> None:
        """Paint a color through a mask."""
        box = mask.getbbox()
        if box is not None:
            self.image.paste(color, box, mask.crop(box))

    def glow(
        self,
        center: tuple[float, float],
        radii: tuple[float, float],
        color: Color,
        opacity: float,
        within: Image.Image | None = None,
    ) -> None:
        """Paint a soft spot: a Gaussian of the given radii, flattened on top."""
        middle = self.turned(np.array([center]))
        column, row = (value * _SOFT_SIDE / self.side for value in self.pixels(middle))
        reach = 2.4 * max(radii) * self.pose.scale * _SOFT_SIDE  # farther out nothing is left of the spot
        left, right = (min(max(math.floor(column + d), 0), _SOFT_SIDE) for d in (-reach, reach + 1))
        top, bottom = (min(max(math.floor(row + d), 0), _SOFT_SIDE) for d in (-reach, reach + 1))
        if left == right or top == bottom:
            return
        cells = slice(top, bottom), slice(left, right)
        across, down = self._soft_x[cells] - middle[0, 0], self._soft_y[cells] - middle[0, 1]
        spot = np.minimum(1, 1.4 * np.exp(-((across / radii[0]) ** 2) - (down / radii[1]) ** 2))
        x0, y0, x1, y1 = (round(edge * self.side / _SOFT_SIDE) for edge in (left, top, right, bottom))
        mask = Image.fromarray((spot * (255 * opacity)).astype(np.uint8))
        mask = mask.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR)
        if within is not None:
            mask = ImageChops.multiply(mask, within.crop((x0, y0, x1, y1)))
        self.image.paste(color, (x0, y0, x1, y1), mask)
