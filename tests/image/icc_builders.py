"""ICC profiles built from published primaries, white points and tone curves, tag by tag."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

D50_XYZ = np.array([0.9642, 1.0, 0.8249])
D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
PRIMARIES = {
    "srgb": (((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), D65),
    "p3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), D65),
    "adobe": (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65),
    "prophoto": (((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), D50),
}


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def gamma(value: float) -> bytes:
    """The short form, in 1/256."""
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def table(samples: Sequence[float] | np.ndarray) -> bytes:
    values = np.rint(np.asarray(samples) * 65535).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(values)) + values.tobytes()


def parametric(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">Hxx", kind) + fixed(*values)


SRGB_TONE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
TONES = {"srgb": SRGB_TONE, "p3": SRGB_TONE, "adobe": gamma(563 / 256), "prophoto": gamma(1.8)}


def xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def rgb_to_xyz(name: str) -> np.ndarray:
    """(3, 3) linear RGB to XYZ, adapted to D50 by Bradford's method as ICC asks."""
    primaries, white = PRIMARIES[name]
    columns = np.stack([xyz(*point) for point in primaries], axis=1)
    matrix = columns * np.linalg.solve(columns, xyz(*white))
    cones = (BRADFORD @ D50_XYZ) / (BRADFORD @ xyz(*white))
    return np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ matrix


def build_profile(tags: dict[bytes, bytes], space: bytes = b"RGB ", connection: bytes = b"XYZ ") -> bytes:
    tags = {b"desc": b"text" + bytes(4) + b"test\0", b"wtpt": b"XYZ " + bytes(4) + fixed(*D50_XYZ), **tags}
    place, table_bytes, bodies = 132 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        table_bytes += struct.pack(">4sII", name, place + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    head = struct.pack(">I4sI4s4s4s", place + len(bodies), b"none", 0x04300000, b"mntr", space, connection)
    head = head.ljust(36, b"\0") + b"acsp" + bytes(28) + fixed(*D50_XYZ)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table_bytes + bodies


def rgb_profile(name: str, tone: bytes | None = None) -> bytes:
    """The colours of `PRIMARIES` with their own tone curve, or another."""
    matrix, tone = rgb_to_xyz(name), tone or TONES[name]
    tags = {b"rgb"[i : i + 1] + b"XYZ": b"XYZ " + bytes(4) + fixed(*matrix[:, i]) for i in range(3)}
    return build_profile({**tags, b"rTRC": tone, b"gTRC": tone, b"bTRC": tone})


def lookup_table(colours: np.ndarray, inputs: np.ndarray, *, lab: bool = False) -> bytes:
    """An A2B tag of type mft2.

    `colours` are XYZ relative to D50 or CIELAB of the nodes, (N, N, N, 3), and `inputs` the curve before them, (M,).
    """
    lab_words = (colours + np.array([0, 128, 128])) * (65280 / 100, 256, 256)  # ICC.1:2022, 10.12: former encoding
    encoded = lab_words if lab else colours * 32768
    words = np.clip(np.rint(encoded), 0, 65535).astype(">u2").tobytes()
    head = b"mft2" + bytes(4) + bytes([3, 3, len(colours), 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    curve = np.rint(inputs * 65535).astype(">u2").tobytes()
    straight = struct.pack(">2H", 0, 65535)
    return head + struct.pack(">2H", len(inputs), 2) + 3 * curve + words + 3 * straight


def lookup_profile(table: bytes, *, lab: bool = False, kind: bytes = b"scnr") -> bytes:
    """A profile with one look-up table, for a device of a kind: its class in ICC.1:2022, 7.2.5."""
    made = build_profile({b"A2B0": table}, connection=b"Lab " if lab else b"XYZ ")
    return made[:8] + b"\2\x40\0\0" + kind + made[16:]


def grey_profile(tone: bytes | None = None) -> bytes:
    return build_profile({b"kTRC": tone or gamma(2.2)}, b"GRAY")
