"""XMP packets, changed in place by patterns, so that all else stays as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WIDTH = re.compile(rb"""(\b(?:tiff:ImageWidth|exif:PixelXDimension)(?:\s*=\s*["']|>))\d+""")
_ORIENTATION = re.compile(rb"""(\btiff:Orientation(?:\s*=\s*["']|>))\d+""")
_HEIGHT = re.compile(rb"""(\b(?:tiff:ImageLength|exif:PixelYDimension)(?:\s*=\s*["']|>))\d+""")

_GOOGLE = b"http://ns.google.com/photos/1.0/"
_UNTRUE = {  # by namespace: properties that announce data behind the picture, which no result has
    _GOOGLE + b"camera/": rb"(?:MotionPhoto|MicroVideo)\w*",
    _GOOGLE + b"container/": rb"Directory",
    **dict.fromkeys((_GOOGLE + name for name in (b"depthmap/", b"image/", b"audio/")), rb"\w+"),
    b"http://ns.google.com/photos/dd/1.0/device/": rb"\w+",  # dynamic depth
    b"http://ns.adobe.com/hdr-gain-map/1.0/": rb"\w+",
    b"http://ns.apple.com/HDRGainMap/1.0/": rb"\w+",
    b"http://ns.adobe.com/xmp/note/": rb"HasExtendedXMP",
}


def update_xmp(xmp: bytes | None, size: tuple[int, int]) -> bytes | None:
    """Update XMP for a result of `size` (height, width).

    Copies of EXIF's pixel sizes, where they are given, are set. Properties that announce a video, a gain map, a depth
    map or further XMP behind the picture are removed.
    """
    if xmp is None:
        return None
    height, width = size
    xmp = _WIDTH.sub(rb"\g<1>%d" % width, xmp)
    xmp = _HEIGHT.sub(rb"\g<1>%d" % height, xmp)
    for property_ in _untrue(xmp):
        xmp = re.sub(rb"""\s+%b\s*=\s*("[^"]*"|'[^']*')""" % property_, b"", xmp)
        xmp = re.sub(rb"<(%b)\b[^<>]*(?:/>|(?<!/)>.*?</\1\s*>)" % property_, b"", xmp, flags=re.DOTALL)
    return xmp


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """Set the orientation of XMP, where it has one, to upright, for a picture whose pixels were rotated."""
    return _ORIENTATION.sub(rb"\g<1>1", xmp) if xmp else None


def describes_gain_map(xmp: bytes) -> bool:
    """Return whether XMP has properties of an HDR gain map, of Adobe's or of Apple's kind."""
    return any(
        re.search(rb"[\s<]%b:\w" % prefix, xmp)
        for namespace in (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"http://ns.apple.com/HDRGainMap/1.0/")
        for prefix in _prefixes(xmp, namespace)
    )


def _untrue(xmp: bytes) -> Iterator[bytes]:
    """Yield patterns of the qualified names of untrue properties, with the prefixes that this packet has for them."""
    for namespace, name in _UNTRUE.items():
        for prefix in _prefixes(xmp, namespace):
            yield prefix + b":" + name


def _prefixes(xmp: bytes, namespace: bytes) -> set[bytes]:
    return {re.escape(found) for found in re.findall(rb"""xmlns:([\w.-]+)\s*=\s*["']%b["']""" % namespace, xmp)}
