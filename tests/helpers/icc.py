"""Color profiles made from the ICC specification (ICC.1:2010), to have some whose result is known."""

from __future__ import annotations

import struct

import numpy as np

ADOBE_RGB = np.array([[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]])
"""XYZ (D50) of red, green and blue of Adobe RGB (1998), one a row."""

SRGB = np.array([[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]])
"""The same of sRGB."""


def rgb_profile(primaries: np.ndarray, gamma: float) -> bytes:
    """A display whose channels are mixed linearly after a power law."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": _xyz(np.array([0.9642, 1.0, 0.8249]))}
    for channel, xyz in zip((b"r", b"g", b"b"), primaries, strict=True):
        tags |= {channel + b"XYZ": _xyz(xyz), channel + b"TRC": curve}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def gray_profile(gamma: float) -> bytes:
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"
    return _profile(
        b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(np.array([0.9642, 1.0, 0.8249])), b"kTRC": curve}
    )


def cmyk_profile(inks: dict[tuple[int, int, int, int], tuple[float, float, float]]) -> bytes:
    """A press given by the CIELAB color of each of the 16 combinations of full inks."""
    table = bytearray()
    for combination in np.ndindex(2, 2, 2, 2):
        lightness, a, b = inks[combination]  # type: ignore[index]
        table += bytes([round(lightness * 2.55), round(a + 128), round(b + 128)])
    identity = struct.pack(">9i", *(np.eye(3, dtype=int).reshape(-1) * 65536).tolist())
    lut = b"mft1" + struct.pack(">IBBBB", 0, 4, 3, 2, 0) + identity
    lut += bytes(range(256)) * 4 + bytes(table) + bytes(range(256)) * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(np.array([0.9642, 1.0, 0.8249])), b"A2B0": lut})


def to_srgb(color: tuple[int, int, int], primaries: np.ndarray, gamma: float) -> np.ndarray:
    """What a color of `rgb_profile` is in sRGB (IEC 61966-2-1), 0 to 255 each."""
    linear = ((np.array(color) / 255) ** gamma @ primaries @ np.linalg.inv(SRGB)).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(255 * encoded)


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + struct.pack(">I3i", 0, *(np.rint(values * 65536).astype(int).tolist()))


def _profile(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(78), **tags}
    tags[b"cprt"] = b"text\0\0\0\0none\0"
    table, body = struct.pack(">I", len(tags)), b""
    offset = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    size = offset + len(body)
    date = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    white = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, device, space, connection) + date
    header += b"acsp" + bytes(28) + white + bytes(48)
    assert len(header) == 128
    return header + table + body
