"""Photos in and out of memory: `read` a file to a `Frame`, `write` a `Frame` to a file.

::

    formats      the table: suffixes, first bytes, what each format can hold, which module reads and writes it
    reading      read, read_srgb png  jpeg  tiff  webp  avif     one codec each: bytes to Frame, Frame to bytes
    writing      write, encode                                   the file appears whole or not at all (`system.atomic`)
    jpeg_scans   has_every_block: finds damaged JPEGs
    raw_kinds    RawOptions, is_raw                                 raw, raw_exif: RAW files, developed, with their EXIF
    exif, ifd    EXIF blocks: true after a change of size, in and out of TIFF
    linear_raw   RAW files in the camera's own colours            dng: these, written
    colour, icc  ColourSpace: a photo's colours to sRGB for the network, and back; lookup: those of look-up tables

Importing this package imports NumPy alone; Pillow, OpenCV, tifffile and rawpy load with the first file of their format.
"""

from nsp_cli.image.codecs.raw_kinds import RAW_SUFFIXES, RawOptions, WhiteBalance
from nsp_cli.image.colour import ColourSpace, colour_space, srgb_pixels
from nsp_cli.image.formats import SUFFIXES, WRITABLE, is_photo, output_suffix, unread_format
from nsp_cli.image.frame import Frame, Metadata, from_unit, peak, to_unit
from nsp_cli.image.metadata.exif import update_exif
from nsp_cli.image.reading import check_header, read, read_srgb
from nsp_cli.image.writing import encode, write

__all__ = [
    "RAW_SUFFIXES",
    "SUFFIXES",
    "WRITABLE",
    "ColourSpace",
    "Frame",
    "Metadata",
    "RawOptions",
    "WhiteBalance",
    "check_header",
    "colour_space",
    "encode",
    "from_unit",
    "is_photo",
    "output_suffix",
    "peak",
    "read",
    "read_srgb",
    "srgb_pixels",
    "to_unit",
    "unread_format",
    "update_exif",
    "write",
]
