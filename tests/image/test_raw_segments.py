"""A RAW file whose sensor data are not all there is refused, whatever its layout."""

import struct

import numpy as np
import pytest
from raw_builders import behind_a_preview, build_dng, lossless_jpeg, mosaic, moved_to_the_end

from nsp_cli.errors import InputError
from nsp_cli.image import read
from nsp_cli.image.codecs.raw_segments import bytes_missing, is_pruned


def dng(*, preview: bool) -> bytes:
    data = build_dng(mosaic(np.full((64, 96, 3), 0.3)))
    return behind_a_preview(data) if preview else data


@pytest.mark.parametrize("preview", [False, True])
def test_a_whole_file_is_read_and_a_cut_one_refused(preview: bool) -> None:
    whole = build_dng(mosaic(np.full((64, 96, 3), 0.3)))
    assert bytes_missing(dng(preview=preview)) == 0
    assert read(dng(preview=preview)).pixels.shape == (64, 96, 3)
    # The sensor's data are moved to the end of the file and then cut, as a broken transfer leaves them.
    moved = moved_to_the_end(behind_a_preview(whole) if preview else whole)
    assert bytes_missing(moved) == 0
    assert read(moved).pixels.shape == (64, 96, 3)
    for cut in (1, 1000, 64 * 96 * 2 - 10):
        assert bytes_missing(moved[:-cut]) == cut
        with pytest.raises(InputError, match=f"cut off: {cut:,} bytes are missing"):
            read(moved[:-cut])


def test_boxes_of_cr3() -> None:
    boxes = struct.pack(">I4s4s", 12, b"ftyp", b"crx ") + struct.pack(">I4sQ", 1, b"mdat", 16 + 100) + bytes(100)
    assert bytes_missing(boxes) == 0
    assert bytes_missing(boxes[:-30]) == 30
    assert bytes_missing(struct.pack(">I4s4s", 12, b"ftyp", b"crx ") + struct.pack(">I4s", 0, b"mdat") + bytes(5)) == 0


def test_the_sensor_s_data_of_raf() -> None:
    raf = bytearray(b"FUJIFILMCCD-RAW ".ljust(200, b"\0") + bytes(100))
    struct.pack_into(">II", raf, 100, 200, 100)
    assert bytes_missing(bytes(raf)) == 0
    assert bytes_missing(bytes(raf[:-7])) == 7
    assert bytes_missing(bytes(raf[:50])) > 0


@pytest.mark.parametrize(
    "data", [b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"IIU\0\x08\0\0\0", b"\0\0\0\x03ftyp"]
)
def test_files_of_other_kinds_are_left_to_libraw(data: bytes) -> None:
    assert bytes_missing(data) == 0


def test_directories_that_point_in_circles_end() -> None:
    circle = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 330, 4, 1, 8, 8)
    assert bytes_missing(circle) == 0


def test_a_data_error_of_libraw_is_a_refusal_and_not_a_line_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """A damaged stream has all its bytes, and LibRaw decodes it to some picture."""
    raw = mosaic(np.random.default_rng(0).random((64, 96, 3)))
    stream = lossless_jpeg(raw)
    whole = read(build_dng(raw, compressed=stream))
    np.testing.assert_array_equal(whole.pixels, read(build_dng(raw)).pixels)
    bad = bytearray(stream)
    bad[len(bad) // 2 : len(bad) // 2 + 40] = bytes([0x5A]) * 40
    with pytest.raises(InputError, match=r"the RAW file is damaged .*\(LibRaw: [Dd]ata "):
        read(build_dng(raw, compressed=bytes(bad)))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize("offset", [0, None])
def test_a_pruned_file_is_refused(offset: int | None, preview: bool) -> None:
    """As programs for phones leave it: the directory of the sensor's data leads nowhere, or only names their size."""
    whole = dng(preview=preview)
    out = bytearray(whole)
    entry = out.rindex(struct.pack("<HHI", 273, 4, 1), 0, out.index(struct.pack("<HHII", 279, 4, 1, 64 * 96 * 2)))
    struct.pack_into(*(("<I", out, entry + 8, offset) if offset is not None else ("<H", out, entry, 65_001)))
    assert not is_pruned(whole)
    with pytest.raises(InputError, match="without the sensor's data"):
        read(bytes(out))


@pytest.mark.parametrize("start", [b"IIRO", b"IIRS"])
def test_olympus_files_are_tiffs_under_another_number(start: bytes) -> None:
    moved = start + moved_to_the_end(dng(preview=False))[4:]
    assert bytes_missing(moved) == 0
    assert bytes_missing(moved[:-100]) == 100


@pytest.mark.parametrize(("kind", "bits", "pixels"), [(4, 12, 14), (5, 12, 10), (5, 14, 9), (6, 14, 14), (7, 14, 14)])
def test_packets_of_panasonic(kind: int, bits: int, pixels: int) -> None:
    width, height, start = 140, 90, 512
    fields = [(2, width), (3, height), (10, bits), (45, kind), (280, start)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    head = b"IIU\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4)
    whole = head.ljust(start, b"\0") + bytes(width * height // pixels * 16)
    assert bytes_missing(whole) == 0
    assert bytes_missing(whole + b"more") == 0
    assert bytes_missing(whole[:-1000]) == 1000
    assert bytes_missing(head[:20]) == 0
    other = head.replace(struct.pack("<HHII", 45, 4, 1, kind), struct.pack("<HHII", 45, 4, 1, 8))
    assert bytes_missing(other) == 0
