"""What a cat looks like: the traits of one cat, and how each breed chooses them at random."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
_BLACK: Color = (38, 35, 42)
_PINK: Color = (232, 158, 156)
_COLLARS: tuple[Color, ...] = ((206, 62, 62), (52, 126, 178), (62, 150, 122), (148, 92, 170))
_BACKDROPS = ("bokeh", "window", "sofa", "stripes", "wall")
_WALLS: tuple[tuple[Color, Color, Color], ...] = (
    ((236, 220, 196), (214, 184, 150), (250, 236, 205)),  # sand, cream
    ((178, 205, 214), (120, 158, 178), (226, 240, 240)),  # morning blue
    ((168, 190, 160), (112, 142, 116), (222, 228, 186)),  # sage
    ((240, 196, 184), (214, 146, 138), (252, 228, 210)),  # blush
    ((198, 188, 220), (146, 134, 182), (232, 222, 244)),  # lavender
    ((232, 192, 112), (204, 150, 76), (250, 226, 164)),  # mustard
    ((96, 146, 146), (58, 104, 110), (206, 222, 178)),  # teal
    ((196, 112, 86), (150, 78, 66), (240, 190, 140)),  # terracotta
    ((84, 98, 136), (52, 60, 94), (236, 202, 140)),  # evening
)


@dataclass(frozen=True)
class Coat:
    """The colors of the fur; None where the breed lacks the marking."""

    base: Color
    ears: tuple[Color, Color]
    inner_ear: Color
    muzzle: Color
    chest: Color
    nose: Color
    whiskers: Color
    stripes: Color | None = None
    mask: Color | None = None
    blaze: Color | None = None
    patches: tuple[Color, ...] = ()


@dataclass(frozen=True)
class Pose:
    """Where the head is: angles in radians, lengths as shares of the frame."""

    roll: float
    yaw: float
    pitch: float
    scale: float
    center: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What is behind the cat and the light that falls on it."""

    backdrop: str
    colors: tuple[Color, Color, Color]
    light_angle: float
    light_strength: float
    tint: tuple[float, float, float]


@dataclass(frozen=True)
class CatTraits:
    """Everything that tells one cat from another; lengths are in face coordinates."""

    coat: Coat
    pose: Pose
    scene: Scene
    iris: Color
    head_height: float
    cheek: float
    jaw: float
    fluff: float
    ear_height: float
    ear_width: float
    ear_splay: float
    ear_roundness: float
    eye_size: float
    eye_spacing: float
    eye_height: float
    eye_openness: float
    eye_tilt: float
    pupil_width: float
    gaze: tuple[float, float]
    muzzle_size: float
    smile: float
    whisker_length: float
    whisker_droop: float
    tongue: bool
    collar: Color | None


def mix(first: Color, second: Color, share: float) -> Color:
    """Blend two colors; a share of 0 gives the first and 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _jitter(color: Color, rng: np.random.Generator, spread: float = 7.0) -> Color:
    together, apart = rng.normal(0, spread), rng.normal(0, 0.4 * spread, 3)
    red, green, blue = (
        int(np.clip(channel + together + d, 0, 255)) for channel, d in zip(color, apart, strict=True)
    )
    return red, green, blue


def _pick(colors: tuple[Color, ...], rng: np.random.Generator, spread: float = 7.0) -> Color:
    return _jitter(colors[rng.integers(len(colors))], rng, spread)


def _striped(base: Color, dark: Color, rng: np.random.Generator) -> Coat:
    base, pale = _jitter(base, rng), mix(base, WHITE, rng.uniform(0.6, 0.8))
    return Coat(
        base=base,
        ears=(base, base),
        inner_ear=mix(_PINK, base, 0.25),
        muzzle=pale,
        chest=mix(base, pale, 0.8),
        nose=_jitter((206, 118, 106), rng),
        whiskers=WHITE,
        stripes=_jitter(dark, rng, 5),
    )


def _tabby(rng: np.random.Generator) -> Coat:
    furs: tuple[tuple[Color, Color], ...] = (
        ((164, 130, 96), (70, 50, 38)),
        ((150, 146, 140), (62, 60, 62)),
        ((186, 176, 162), (84, 74, 68)),
    )
    return _striped(*furs[rng.integers(len(furs))], rng)


def _ginger(rng: np.random.Generator) -> Coat:
    furs: tuple[tuple[Color, Color], ...] = (
        ((232, 150, 76), (186, 92, 36)),
        ((242, 180, 112), (208, 124, 58)),
        ((218, 128, 62), (164, 78, 32)),
    )
    return _striped(*furs[rng.integers(len(furs))], rng)


def _tuxedo(rng: np.random.Generator) -> Coat:
    base, white = _jitter(_BLACK, rng, 5), _jitter((246, 243, 238), rng, 3)
    return Coat(
        base=base,
        ears=(base, base),
        inner_ear=mix(_PINK, base, 0.4),
        muzzle=white,
        chest=white,
        nose=_pick(((222, 138, 138), (70, 56, 60)), rng),
        whiskers=WHITE,
        blaze=white,
    )


def _siamese(rng: np.random.Generator) -> Coat:
    base = _jitter((246, 230, 204), rng, 4)
    dark = _pick(((78, 54, 46), (112, 76, 58), (112, 98, 102)), rng, 5)
    return Coat(
        base=base,
        ears=(dark, dark),
        inner_ear=mix(_PINK, dark, 0.5),
        muzzle=mix(dark, (20, 14, 14), 0.1),
        chest=base,
        nose=mix(dark, (30, 20, 20), 0.5),
        whiskers=WHITE,
        mask=dark,
    )


def _calico(rng: np.random.Generator) -> Coat:
    base = _jitter((248, 243, 234), rng, 3)
    patches = [_pick(((226, 142, 66), (236, 162, 88)), rng), _jitter((52, 46, 48), rng, 5)]
    rng.shuffle(patches)
    return Coat(
        base=base,
        ears=(patches[0], patches[1]),
        inner_ear=_PINK,
        muzzle=WHITE,
        chest=base,
        nose=_jitter((230, 140, 138), rng),
        whiskers=(196, 186, 180),
        patches=tuple(patches),
    )


def _russian_blue(rng: np.random.Generator) -> Coat:
    base = _jitter((118, 130, 148), rng, 6)
    return Coat(
        base=base,
        ears=(base, base),
        inner_ear=mix(_PINK, base, 0.55),
        muzzle=mix(base, WHITE, 0.18),
        chest=mix(base, WHITE, 0.1),
        nose=mix(base, (50, 46, 60), 0.6),
        whiskers=WHITE,
    )


_COATS: dict[str, Callable[[np.random.Generator], Coat]] = {
    "calico": _calico,
    "ginger": _ginger,
    "russian_blue": _russian_blue,
    "siamese": _siamese,
    "tabby": _tabby,
    "tuxedo": _tuxedo,
}
BREEDS: tuple[str, ...] = tuple(sorted(_COATS))

_GREEN, _AMBER, _BLUE = (132, 178, 88), (224, 164, 52), (92, 164, 226)
_IRISES: dict[str, tuple[Color, ...]] = {
    "calico": (_GREEN, _AMBER, (196, 178, 70)),
    "ginger": (_AMBER, (216, 186, 72), _GREEN),
    "russian_blue": ((136, 204, 110), (120, 196, 130)),
    "siamese": (_BLUE, (110, 178, 234)),
    "tabby": (_GREEN, (196, 188, 76), _AMBER),
    "tuxedo": ((206, 200, 70), _GREEN, _AMBER),
}


def _sample_pose(rng: np.random.Generator) -> Pose:
    return Pose(
        roll=float(np.clip(rng.normal(0, 0.12), -0.27, 0.27)),
        yaw=rng.uniform(-0.21, 0.21),
        pitch=rng.uniform(-0.06, 0.08),
        scale=rng.uniform(0.335, 0.395),
        center=(0.5 + rng.normal(0, 0.022), 0.56 + rng.normal(0, 0.018)),
    )


def _sample_scene(fur: Color, rng: np.random.Generator) -> Scene:
    # A wall too close to the fur would swallow the outline of the head.
    walls = [wall for wall in _WALLS if sum(abs(a - b) for a, b in zip(wall[0], fur, strict=True)) > 115]
    first, second, accent = (_jitter(color, rng, 6) for color in walls[rng.integers(len(walls))])
    warmth, brightness = rng.normal(0, 0.025), rng.uniform(0.93, 1.06)
    return Scene(
        backdrop=_BACKDROPS[rng.integers(len(_BACKDROPS))],
        colors=(first, second, accent),
        light_angle=rng.uniform(-0.9 * math.pi, -0.1 * math.pi),
        light_strength=rng.uniform(0.04, 0.16),
        tint=(brightness * (1 + warmth), brightness, brightness * (1 - warmth)),
    )


def sample_traits(breed: str, rng: np.random.Generator) -> CatTraits:
    """Draw the traits of one cat of a breed at random.

    Raises:
        KeyError: the breed is not one of `BREEDS`.
    """
    slim = 1.0 if breed in ("siamese", "russian_blue") else 0.0
    coat = _COATS[breed](rng)
    return CatTraits(
        coat=coat,
        pose=_sample_pose(rng),
        scene=_sample_scene(coat.base, rng),
        iris=_pick(_IRISES[breed], rng, 8),
        head_height=rng.uniform(0.8, 0.95),
        cheek=rng.uniform(0.95, 1.06) - 0.06 * slim,
        jaw=rng.uniform(0.9, 1.1) - 0.12 * slim,
        fluff=rng.uniform(0.0, 0.13) * (1 - 0.6 * slim),
        ear_height=rng.uniform(0.4, 0.66) + 0.06 * slim,
        ear_width=rng.uniform(0.2, 0.29) + 0.03 * slim,
        ear_splay=rng.uniform(-0.06, 0.12),
        ear_roundness=rng.uniform(0.12, 0.3),
        eye_size=rng.uniform(0.225, 0.29),
        eye_spacing=rng.uniform(0.41, 0.46),
        eye_height=rng.uniform(-0.1, 0.0),
        eye_openness=rng.uniform(0.72, 1.05),
        eye_tilt=rng.uniform(0.0, 0.22) + 0.06 * slim,
        pupil_width=rng.uniform(0.2, 0.62),
        gaze=(rng.normal(0, 0.09), rng.normal(0, 0.05)),
        muzzle_size=rng.uniform(0.9, 1.15),
        smile=rng.uniform(0.1, 0.17),
        whisker_length=rng.uniform(0.6, 0.95),
        whisker_droop=rng.uniform(-0.12, 0.16),
        tongue=rng.random() < 0.12,
        collar=_pick(_COLLARS, rng) if rng.random() < 0.35 else None,
    )
