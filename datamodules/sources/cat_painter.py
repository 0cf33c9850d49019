"""Paint one cat face from its traits, layer upon layer."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from datamodules.sources.cat_canvas import Canvas, Points, curve, ellipse, stroke
from datamodules.sources.cat_traits import WHITE, CatTraits, Color, Scene, mix

_BACKDROP_SIDE = 64  # the backdrop is out of focus: it is painted small and enlarged
_ALMOND: Points = np.array(
    [[-1, -0.6, 0, 0.62, 1, 0.6, 0, -0.62], [0.18, -0.62, -0.98, -0.72, -0.12, 0.66, 0.92, 0.72]]
).T
_BELL: tuple[tuple[float, float, float, Color], ...] = (
    (0.0, 1.12, 0.115, (150, 100, 30)),
    (0.0, 1.115, 0.095, (246, 204, 90)),
    (-0.03, 1.085, 0.033, (255, 246, 214)),
)


def paint_cat(traits: CatTraits, size: int, rng: np.random.Generator) -> Image.Image:
    """Paint a cat as an RGB picture of size x size pixels.

    Args:
        traits: what the cat looks like and where it is.
        size: pixels per side.
        rng: draws what has no name: single hairs, the edges of stripes and patches, whiskers.
    """
    canvas = Canvas(size, traits.pose)
    _paint_backdrop(canvas, traits.scene, rng)
    _paint_shoulders(canvas, traits, rng)
    _paint_ears(canvas, traits, rng)
    _paint_head(canvas, traits, rng)
    _paint_markings(canvas, traits, rng)
    _paint_hairs(canvas, rng)
    _paint_muzzle(canvas, traits)
    _paint_eyes(canvas, traits)
    _paint_whiskers(canvas, traits, rng)
    return _lit(canvas, traits.scene, rng)


def _paint_backdrop(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    first, second, _ = scene.colors
    steps, angle = np.linspace(-0.7, 0.7, _BACKDROP_SIDE), rng.uniform(0.2, math.pi - 0.2)
    ramp = np.clip(0.5 + steps[None, :] * math.cos(angle) + steps[:, None] * math.sin(angle), 0, 1)[..., None]
    image = Image.fromarray(np.rint(np.array(first) * (1 - ramp) + np.array(second) * ramp).astype(np.uint8))
    _paint_motif(ImageDraw.Draw(image, "RGBA"), scene, rng)
    image = image.filter(ImageFilter.GaussianBlur(7.0 if scene.backdrop == "wall" else 1.0))
    canvas.image.paste(image.resize(canvas.image.size, Image.Resampling.BILINEAR))
    away = -math.cos(scene.light_angle)
    canvas.glow((0.35 * away, 0.25), (1.05, 1.25), (40, 26, 44), 0.22)


def _paint_motif(pen: ImageDraw.ImageDraw, scene: Scene, rng: np.random.Generator) -> None:
    side, accent = _BACKDROP_SIDE, scene.colors[2]
    if scene.backdrop == "bokeh":
        for _ in range(rng.integers(7, 13)):
            x, y, radius = rng.uniform([0, 0, 3], [side, side, 9])
            color, opacity = mix(accent, WHITE, rng.uniform(0, 0.6)), int(rng.integers(60, 130))
            pen.circle((x, y), radius, fill=(*color, opacity))
    elif scene.backdrop == "window":
        left, top, width = rng.uniform([-12, -16, 13], [30, 4, 18])
        for column in range(2):
            for row in range(2):
                x, y = left + column * (width + 3), top + row * (width + 5)
                pen.rectangle((x, y, x + width, y + width + 2), fill=(*mix(accent, WHITE, 0.65), 215))
    elif scene.backdrop == "sofa":
        x, y = rng.uniform([-20, 26], [20, 44])
        pen.rounded_rectangle((x - 30, y, x + 34, 90), 8, fill=accent)
        pen.rounded_rectangle((x + 36, y, x + 100, 90), 8, fill=mix(accent, (0, 0, 0), 0.06))
    elif scene.backdrop == "stripes":
        pitch, lean = rng.uniform([7, -14], [13, 14])
        for x in np.arange(-20 + rng.uniform(0, pitch), 90, pitch):
            pen.line((x, 0, x + lean, side), fill=(*accent, 110), width=round(pitch * 0.45))
    else:
        x, y, radius = rng.uniform([10, 8, 18], [54, 40, 30])
        pen.circle((x, y), radius, fill=(*mix(accent, WHITE, 0.4), 120))


def _paint_shoulders(canvas: Canvas, traits: CatTraits, rng: np.random.Generator) -> None:
    coat, lean = traits.coat, rng.uniform(-0.12, 0.12)
    half = [(0.5, 0.45), (0.64, 0.85), (0.98, 1.15), (1.18, 1.7), (1.2, 2.6)]
    outline = curve([(x + lean * y, y) for x, y in half + [(-x, y) for x, y in reversed(half)]])
    body = Image.new("L", canvas.image.size)
    ImageDraw.Draw(body).polygon(canvas.upright_pixels(outline), fill=255)
    canvas.cat.paste(255, mask=body)
    canvas.stamp(body, coat.base)
    for side, patch in zip((-1, 1), coat.patches, strict=False):
        canvas.stamp(canvas.mask([ellipse(side * rng.uniform(0.75, 1.3), 1.6, 0.5, 0.5)], body), patch)
    canvas.glow((lean, 1.35), (0.42, 0.6), coat.chest, 1.0, body)
    if coat.stripes:
        sides, heights = (-1, 1), (1.05, 1.4)
        rows = [[(s * 1.3, y), (s * 0.9, y - 0.12), (s * 0.45, y + 0.1)] for s in sides for y in heights]
        canvas.stamp(canvas.mask([stroke(row, 0.09, blunt=True) for row in rows], body, 0.7), coat.stripes)
    if traits.collar:
        canvas.stamp(canvas.mask([ellipse(0, 0.6, 0.84, 0.5)], body), traits.collar)
    canvas.glow((0, 0.8), (0.75, 0.36), (45, 28, 40), 0.36, body)
    if traits.collar:
        for x, y, radius, color in _BELL:
            canvas.fill(ellipse(x, y, radius, radius), color)


def _paint_ears(canvas: Canvas, traits: CatTraits, rng: np.random.Generator) -> None:
    for side, color in zip((-1, 1), traits.coat.ears, strict=True):
        tip = np.array([0.72 + traits.ear_splay + rng.normal(0, 0.025), -0.7 - traits.ear_height])
        inner, outer = np.array([0.42 - traits.ear_width, -0.62]), np.array([0.62 + traits.ear_width, -0.22])
        middle, blunt = 0.5 * (inner + outer) + [0, 0.12], traits.ear_roundness
        rounded = [
            tip + share * blunt * (end - tip) for share, end in ((1, inner), (0.3, middle), (1, outer))
        ]
        ear = [
            inner,
            0.5 * (inner + tip) - [0.04, 0.05],
            *rounded,
            0.5 * (tip + outer) + [0.06, -0.03],
            outer,
        ]
        shape = curve(np.array(ear)) * [side, 1]
        hollow = (shape - middle * [side, 1]) * 0.66 + middle * [side, 1]
        fur, inside = canvas.mask([shape]), canvas.mask([hollow])
        canvas.cat.paste(255, mask=fur)
        canvas.stamp(fur, color)
        canvas.stamp(inside, mix(traits.coat.inner_ear, (60, 30, 30), 0.14))
        canvas.glow((side * (tip[0] + 0.04), -0.8), (0.16, 0.32), traits.coat.inner_ear, 0.9, inside)
        for root in (0.34, 0.46, 0.58):
            end = (root + rng.uniform(0.06, 0.18), rng.uniform(-0.98, -0.84))
            tuft = stroke([(root, -0.5), (root + 0.02, -0.8), end], 0.04, blunt=True) * [side, 1]
            canvas.fill(tuft, mix(color, WHITE, 0.4), 0.85)


def _paint_head(canvas: Canvas, traits: CatTraits, rng: np.random.Generator) -> None:
    top, cheek, jaw = traits.head_height, traits.cheek, traits.jaw
    right = [(0.4, -0.92 * top), (0.72, -0.66 * top), (0.93, -0.2), (1.0 * cheek, 0.22), (0.85 * cheek, 0.58)]
    right += [(0.58 * jaw, 0.79), (0.27 * jaw, 0.88)]
    left = [(-x, y) for x, y in reversed(right)]
    outline = curve([(0.0, -top), *right, (0.0, 0.9), *left], steps=10)
    # Five points to a tuft, from root to tip, downwards on the right and mirrored on the left.
    half = np.outer(rng.uniform(0.4, 1, (2, len(outline) // 10)), np.linspace(0, 1, 5)).reshape(2, -1)
    tufts = np.concatenate([half[0], half[1, ::-1]])[:, None]
    on_cheeks = np.clip(np.abs(outline[:, :1]) * 2 - 0.8, 0.1, 1) * np.clip(outline[:, 1:] * 2 + 0.4, 0.1, 1)
    canvas.head = canvas.mask([outline * (1 + traits.fluff * tufts * on_cheeks)])
    canvas.cat.paste(255, mask=canvas.head)
    canvas.stamp(canvas.head, traits.coat.base)


def _paint_markings(canvas: Canvas, traits: CatTraits, rng: np.random.Generator) -> None:
    coat, head = traits.coat, canvas.head
    if coat.mask:
        width, height = rng.uniform(0.42, 0.56), rng.uniform(0.48, 0.64)
        canvas.glow((0, 0.24), (width, height), coat.mask, 0.95, head)
        for side, ear in zip((-1, 1), coat.ears, strict=True):
            canvas.glow((side * 0.66, -0.72), (0.25, 0.22), ear, 0.8, head)
    if coat.patches:
        _paint_patches(canvas, coat.patches, rng)
    if coat.stripes:
        for side in (-1, 1):
            canvas.glow((side * 0.6, 0.5), (0.36, 0.26), coat.muzzle, 0.5, head)
            canvas.glow((side * 0.4, -0.1), (0.34, 0.32), coat.muzzle, 0.45, head)
        _paint_stripes(canvas, traits, coat.stripes, rng)
    if coat.blaze:
        top, wide = rng.uniform(-0.95, -0.05), rng.uniform(0.5, 0.68)
        shift, narrow = rng.normal(0, 0.04), rng.uniform(0.05, 0.12)
        right = [(narrow + shift, 0.5 * top), (0.15, 0.16), (wide * 0.8, 0.3), (wide, 0.6), (wide * 0.8, 1.0)]
        left = [(-x + 2 * shift * (y < 0), y) for x, y in reversed(right)]
        blaze = curve([(shift, top), *right, *left])
        canvas.stamp(canvas.mask([blaze + rng.normal(0, 0.006, blaze.shape)], head), coat.blaze)


def _paint_patches(canvas: Canvas, colors: tuple[Color, ...], rng: np.random.Generator) -> None:
    for side, color in zip((-1, 1), colors, strict=True):
        x, y, width, height = rng.uniform([0.46, -0.62, 0.42, 0.5], [0.74, -0.25, 0.58, 0.85])
        angle, radius = np.linspace(0, 2 * math.pi, 11, endpoint=False), rng.uniform(0.82, 1.12, 11)
        blob = np.stack([x + width * radius * np.cos(angle), y + height * radius * np.sin(angle)], axis=1)
        canvas.stamp(canvas.mask([curve(blob * [side, 1])], canvas.head), color)


def _paint_stripes(canvas: Canvas, traits: CatTraits, color: Color, rng: np.random.Generator) -> None:
    wide, top = rng.uniform(0.05, 0.08), -1.02 * traits.head_height
    peak, leg, valley = rng.normal([0.3, 0.46, -0.4], 0.02)
    lines = [[(0.0, top), (0.0, -0.7), (0.0, valley)]]
    for side in (-1, 1):
        summit = (side * peak, 0.72 * top)
        lines += [
            [summit, (side * 0.13, 0.65 * top), (side * 0.03, valley)],
            [summit, (side * leg, 0.66 * top), (side * leg, -0.36)],
            [(side * 0.2, top), (side * 0.22, 0.9 * top), summit],
            [(side * 0.68, top), (side * 0.7, -0.6), (side * 0.74, -0.36)],
        ]
        for y in (0.04, 0.3, 0.54):
            reach, drop = rng.uniform(0.5, 0.66), rng.normal(0, 0.03)
            lines.append([(side * 1.15, y - 0.1 + drop), (side * 0.85, y + 0.1), (side * reach, y + drop)])
    canvas.stamp(canvas.mask([stroke(line, wide, blunt=True) for line in lines], canvas.head, 0.88), color)


def _paint_hairs(canvas: Canvas, rng: np.random.Generator) -> None:
    where = rng.uniform([-1.1, -1.0], [1.1, 1.9], (140, 2))
    outwards = (where - [0, 0.1]) / (np.hypot(*where.T)[:, None] + 0.4)
    ends = where + 0.13 * outwards + rng.normal(0, 0.02, where.shape)
    corners = np.concatenate([where, ends], axis=1).reshape(-1, 2)
    lines = np.array(canvas.pixels(corners)).reshape(-1, 4).tolist()
    width = max(1, round(canvas.side / 140))
    for color, half in ((WHITE, lines[::2]), ((40, 20, 20), lines[1::2])):
        mask = Image.new("L", canvas.image.size)
        pen = ImageDraw.Draw(mask)
        for line in half:
            pen.line(line, fill=23, width=width)  # of 255: a hint of hair
        canvas.stamp(ImageChops.multiply(mask, canvas.cat), color)


def _paint_muzzle(canvas: Canvas, traits: CatTraits) -> None:
    coat, big = traits.coat, traits.muzzle_size
    for side in (-1, 1):
        canvas.glow((side * 0.2 * big, 0.5), (0.24 * big, 0.2 * big), coat.muzzle, 0.9, canvas.head)
    canvas.glow((0, 0.74), (0.22 * big, 0.12), coat.muzzle, 0.8, canvas.head)
    line = mix(mix(coat.muzzle, coat.nose, 0.5), (40, 20, 30), 0.6)
    canvas.fill(stroke([(0, 0.36), (0, 0.42), (0, 0.52)], 0.022, blunt=True), line)
    if traits.tongue:
        canvas.fill(ellipse(0, 0.585, 0.07, 0.1), (214, 104, 116))
        canvas.fill(ellipse(0, 0.575, 0.055, 0.085), (240, 142, 148))
    for side in (-1, 1):
        mouth = [(0, 0.5), (side * 0.1, 0.5 + traits.smile), (side * 0.27, 0.52)]
        canvas.fill(stroke(mouth, 0.022, blunt=True), line)
    nose = curve([(-0.13, 0.25), (0.0, 0.235), (0.13, 0.25), (0.09, 0.33), (0.0, 0.39), (-0.09, 0.33)])
    canvas.fill(nose, mix(coat.nose, (40, 20, 30), 0.25))
    canvas.fill(nose * [0.86, 0.84] + [0, 0.042], coat.nose)
    canvas.fill(ellipse(-0.03, 0.272, 0.045, 0.018), WHITE, 0.45)


def _paint_eyes(canvas: Canvas, traits: CatTraits) -> None:
    wide, tall = traits.eye_size, traits.eye_size * traits.eye_openness
    lid, deep = mix(traits.coat.base, (22, 14, 18), 0.82), mix(traits.iris, (20, 15, 25), 0.35)
    cos, sin = math.cos(traits.eye_tilt), math.sin(traits.eye_tilt)
    shine = math.copysign(0.3, math.cos(traits.scene.light_angle)) * wide
    almond = (curve(_ALMOND) * [wide, tall]) @ np.array([[cos, -sin], [sin, cos]])
    for side in (-1, 1):
        center = np.array([side * traits.eye_spacing, traits.eye_height])
        outline = almond * [side, 1] + center
        opening = canvas.mask([outline])
        x, y = center + np.array(traits.gaze) * wide
        pupil = ellipse(x, y, traits.pupil_width * wide, 0.84 * tall)
        canvas.fill((almond * 1.17 - [0, 0.03 * tall]) * [side, 1] + center, lid)
        canvas.stamp(opening, deep)
        canvas.glow(
            (x, y + 0.35 * tall), (0.8 * wide, 0.75 * tall), mix(traits.iris, WHITE, 0.12), 1.0, opening
        )
        canvas.stamp(canvas.mask([pupil], opening), (14, 10, 16))
        canvas.fill(ellipse(x + shine, y - 0.36 * tall, 0.21 * wide, 0.23 * tall), WHITE, 0.96)
        canvas.fill(ellipse(x - shine, y + 0.42 * tall, 0.11 * wide, 0.1 * tall), WHITE, 0.6)


def _paint_whiskers(canvas: Canvas, traits: CatTraits, rng: np.random.Generator) -> None:
    for side in (-1, 1):
        for row, y in enumerate((0.42, 0.5, 0.57)):
            reach = 0.42 + traits.whisker_length * rng.uniform(0.85, 1.1)
            end = y + (row - 1) * 0.17 + traits.whisker_droop + rng.normal(0, 0.04)
            spine = [(side * 0.32, y), (side * 0.75, 0.6 * y + 0.4 * end - 0.09), (side * reach, end)]
            canvas.fill(stroke(spine, 0.016, blunt=True), traits.coat.whiskers, 0.85)


def _lit(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Reduce the picture to its size, round the head with shade, and light the whole."""
    factor = canvas.side // canvas.size
    color = np.asarray(canvas.image.reduce(factor), dtype=np.float64)
    head = np.asarray(canvas.head.reduce(factor), dtype=np.float64)[..., None] / 255
    cat = np.asarray(canvas.cat.reduce(factor), dtype=np.float64)[..., None] / 255
    x, y = (grid[..., None] for grid in canvas.face_grid(canvas.size))
    towards = np.tanh(x * math.cos(scene.light_angle) + y * math.sin(scene.light_angle))
    rim = np.clip(x**2 + (y * 1.08) ** 2, 0, 1.1) ** 2
    shade = 1 + scene.light_strength * towards * (0.4 + 0.6 * cat) + head * (0.05 - 0.15 * rim)
    grain = rng.standard_normal(cat.shape) * (0.8 + 1.2 * cat)
    lit = color * shade * np.array(scene.tint) + grain
    return Image.fromarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8))
