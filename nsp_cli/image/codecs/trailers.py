"""Data behind the end of a picture: videos of motion photos, Samsung's blocks, and others. None of it is carried over.

Sources: Google's Motion Photo format 1.0 (trailers, and the `mpvd` box), the C2PA specification (`uuid` box).
"""

from __future__ import annotations

import re

from nsp_cli.image.metadata.boxes import boxes_and_rest

_VIDEO = re.compile(rb"\0\0\0.ftyp[\w ]{4}", re.DOTALL)
_SAMSUNG_END = b"SEFT"
_PADDING = b"\0\xff"
_OF_THE_PICTURE = {b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"wide", b"pdin", b"styp", b"sidx"}
_VIDEO_BOX, _SAMSUNG_BOX, _UUID = b"mpvd", b"sefd", b"uuid"
_CONTENT_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def named_trailer(trailer: bytes, title: str, *, known: bool = False) -> tuple[str, ...]:
    """Return a sentence on each thing in the bytes after a picture's end.

    Parameters
    ----------
    trailer : bytes
        The bytes after the end; padding is nothing.
    title : str
        Name of the format.
    known : bool
        Whether bytes of no known kind have been named already.
    """
    rest, found = trailer.strip(_PADDING), list[str]()
    if _VIDEO.search(trailer):
        found.append(f"The video of the motion photo, after the {title}'s end, is not carried over.")
    if rest.endswith(_SAMSUNG_END):
        found.append(f"Samsung's data after the {title}'s end is not carried over.")
    elif rest and not known and not found:
        found.append(f"The {len(trailer):,} bytes after the {title}'s end are not carried over.")
    return tuple(found)


def named_boxes(data: bytes, title: str) -> tuple[str, ...]:
    """Return a sentence on each thing in an AVIF or HEIC file beside its pictures and their metadata."""
    listed, rest = boxes_and_rest(data)
    further = [(kind, body) for kind, body in listed if kind not in _OF_THE_PICTURE]
    others = sorted({kind.decode("latin-1") for kind, _ in further} - {"mpvd", "sefd", "uuid"})
    found: list[str] = []
    if any(kind == _VIDEO_BOX for kind, _ in further):
        found.append(f"The video of the motion photo in the {title} is not carried over.")
    if any(kind == _SAMSUNG_BOX for kind, _ in further):
        found.append(f"Samsung's data in the {title} is not carried over.")
    if any(kind == _UUID and body.startswith(_CONTENT_CREDENTIALS) for kind, body in further):
        found.append(f"The {title}'s content credentials (C2PA) are not carried over.")
    if any(kind == _UUID and not body.startswith(_CONTENT_CREDENTIALS) for kind, body in further):
        others.append("uuid")
    if others:
        found.append(f"The {title}'s further boxes are not carried over: {', '.join(others)}.")
    return (*found, *named_trailer(rest, title))
