import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_builders import build_exif
from PIL import Image

from nsp_cli.image import Frame, Metadata, encode, read, update_exif
from nsp_cli.image.metadata.exif import exif_dpi, exif_from_tiff, orientation_only
from nsp_cli.image.metadata.ifd import Entry, Tree, append_directory
from nsp_cli.image.metadata.xmp import update_xmp


def test_sizes_become_true_and_the_thumbnail_goes(exif: bytes, maker_note: bytes) -> None:
    true = update_exif(exif, (960, 1280))
    assert true is not None
    read_back = Image.Exif()
    read_back.load(true)
    sub = read_back.get_ifd(0x8769)
    assert (sub[0xA002], sub[0xA003]) == (1280, 960)
    interop = read_back.get_ifd(0xA005)
    assert (interop[0x1001], interop[0x1002]) == (1280, 960)
    tree = Tree(true)
    assert tree.directory(tree.first).next == 0
    assert len(true) < len(exif)
    assert b"\xff\xd8\xff" not in true
    changed = sum(a != b for a, b in zip(true, exif, strict=False))
    assert changed <= 20, "only sizes and one pointer change"
    assert true.find(maker_note) == exif.find(maker_note)


def test_a_side_beyond_16_bits_becomes_a_long(exif: bytes) -> None:
    true = update_exif(exif, (70_000, 66_000))
    assert true is not None
    read_back = Image.Exif()
    read_back.load(true)
    sub = read_back.get_ifd(0x8769)
    assert (sub[0xA002], sub[0xA003]) == (66_000, 70_000)


def test_retouching_twice_changes_nothing(exif: bytes) -> None:
    once = update_exif(exif, (10, 20))
    assert update_exif(once, (10, 20)) == once


@pytest.mark.parametrize("block", [b"", b"II", b"II*\0\xff\xff\0\0", b"not exif at all", b"MM\0*\0\0\0\x08\0\x05"])
def test_damaged_blocks_pass_unchanged(block: bytes) -> None:
    assert update_exif(block, (10, 20)) == block
    assert orientation_only(block) is None
    assert exif_dpi(block) is None
    frame = Frame(np.zeros((4, 4, 3), np.uint8), metadata=Metadata(exif=block or None))
    data, warnings = encode(frame, "tiff")
    assert read(data).size == (4, 4)
    assert [warning for warning in warnings if "EXIF is not kept" in warning] or not block


BLOCKS = [build_exif("<"), build_exif(">")]


@given(block=st.sampled_from(BLOCKS), at=st.floats(0, 0.25), junk=st.binary(min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_no_damage_in_exif_stops_a_write(block: bytes, at: float, junk: bytes) -> None:
    start = int(at * len(block))
    damaged = block[:start] + junk + block[start + len(junk) :]
    frame = Frame(np.zeros((4, 5, 3), np.uint8), metadata=Metadata(exif=damaged))
    for name in ("png", "jpeg", "tiff", "webp"):
        found = read(encode(frame, name)[0])
        assert found.size == (4, 5)
        if name != "tiff":
            assert found.metadata.exif == update_exif(damaged, (4, 5))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_only(orientation: int, order: str) -> None:
    block = bytearray(struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 0))
    entries: list[Entry] = [(274, 3, 1, struct.pack(order + "H", orientation)), (271, 2, 6, b"Canon\0")]
    struct.pack_into(order + "I", block, 4, append_directory(block, order, entries))
    small = orientation_only(bytes(block))
    if orientation == 1:
        assert small is None
        return
    read_back = Image.Exif()
    read_back.load(small or b"")
    assert dict(read_back) == {274: orientation}


def test_xmp_sizes_become_true() -> None:
    xmp = b"<a exif:PixelXDimension=\"640\" tiff:ImageLength = '48'/><tiff:ImageWidth>640</tiff:ImageWidth> 640"
    wanted = b"<a exif:PixelXDimension=\"1280\" tiff:ImageLength = '960'/><tiff:ImageWidth>1280</tiff:ImageWidth> 640"
    assert update_xmp(xmp, (960, 1280)) == wanted


def test_maker_note_far_inside_a_tiff_is_moved_and_said_so(exif: bytes, maker_note: bytes) -> None:
    order = "<" if exif[:1] == b"I" else ">"
    shift = 20_000
    out = bytearray(exif[:4] + bytes(4) + bytes(shift))
    note = len(out)
    out += maker_note
    sub = append_directory(out, order, [(0x927C, 7, len(maker_note), note)])
    struct.pack_into(order + "I", out, 4, append_directory(out, order, [(0x8769, 4, 1, sub)]))
    block, warnings = exif_from_tiff(Tree(bytes(out)))
    assert block is not None
    assert maker_note in block
    assert len(block) < 2000
    assert len(warnings) == 1
    assert "maker note" in warnings[0]
