"""HEIC: what pi-heif reads of files that pillow-heif has written here, without loss."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageCms

from nsp_cli.cli.batch.outcome import Counter, unread_sentence
from nsp_cli.cli.batch.plan import plan
from nsp_cli.errors import InputError, NoInputError
from nsp_cli.image import formats, is_photo, read, unread_format, write
from nsp_cli.image.codecs import heic
from nsp_cli.image.metadata.boxes import primary_picture, with_readable_names
from nsp_cli.image.probe import probe_exif, probe_size
from tests.cli.test_commands import run

pytest.importorskip("pi_heif")
TURNED = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHxxI", 1, 0x112, 3, 1, 6, 0)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def _file(pixels: np.ndarray, mode: str = "RGB", **options: Any) -> bytes:
    writer = pytest.importorskip("pillow_heif")
    out = BytesIO()
    height, width = pixels.shape[:2]
    lossless = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    writer.from_bytes(mode, (width, height), pixels.tobytes()).save(out, **(lossless | options))
    return out.getvalue()


def _noise(dtype: type = np.uint8, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 64, channels)).astype(dtype)


def test_eight_bits_with_metadata_come_upright(tmp_path: Path) -> None:
    pixels, icc = _noise(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = _file(pixels, exif=b"Exif\0\0" + TURNED, xmp=XMP, icc_profile=icc)
    frame = read(data)
    np.testing.assert_array_equal(frame.pixels, np.rot90(pixels, -1))  # orientation 6: to be turned clockwise
    assert (frame.container, frame.metadata.icc, frame.warnings) == ("heic", icc, ())
    assert frame.metadata.exif == TURNED.replace(b"\1\0\0\0\6", b"\1\0\0\0\1")
    assert frame.metadata.xmp == XMP.replace(b'"6"', b'"1"')
    (tmp_path / "a.heic").write_bytes(data)
    assert probe_size(tmp_path / "a.heic") == frame.size == (64, 40)
    assert probe_exif(tmp_path / "a.heic") == TURNED
    write(frame, tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").metadata.icc == icc


def test_ten_bits_and_nclx_colours() -> None:
    stored = _noise(np.uint16) * 4 + 3
    frame = read(_file(stored << 6, "RGB;16", color_primaries=12, transfer_characteristics=13, save_nclx_profile=True))
    np.testing.assert_array_equal(frame.pixels, np.rint(stored / 1023 * 65535))
    assert frame.metadata.icc is not None  # Display P3
    with pytest.raises(InputError, match=r"HDR .* is not supported"):
        read(_file(stored << 6, "RGB;16", color_primaries=9, transfer_characteristics=16, save_nclx_profile=True))


@pytest.mark.parametrize(
    ("mode", "channels", "dtype"), [("L", 1, np.uint8), ("RGBA", 4, np.uint8), ("I;16", 1, np.uint16)]
)
def test_grey_and_transparency(mode: str, channels: int, dtype: type) -> None:
    frame = read(_file(_noise(dtype, channels), mode))
    assert frame.pixels.shape == (40, 64, 1 if channels == 1 else 3)
    assert (frame.alpha is not None) is (channels == 4)
    assert frame.pixels.dtype == dtype


def test_a_gain_map_is_named_and_damage_is_refused() -> None:
    data = _file(_noise())
    name = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"
    auxiliary = struct.pack(">I4sI", 12 + len(name), b"auxC", 0) + name
    at = data.index(b"ipco")
    size = struct.unpack_from(">I", data, at - 4)[0]
    for box in (b"ipco", b"iprp", b"meta"):
        assert data.count(box) == 1
    grown = bytearray(data)
    for box in (b"ipco", b"iprp", b"meta"):
        start = data.index(box) - 4
        struct.pack_into(">I", grown, start, struct.unpack_from(">I", data, start)[0] + len(auxiliary))
    grown[at - 4 + size : at - 4 + size] = auxiliary
    assert heic.left_behind(primary_picture(bytes(grown)), "HEIC") == (
        "The HEIC's gain map, which makes it HDR, is not carried over.",
    )
    assert heic.left_behind(primary_picture(data), "HEIC") == ()
    with pytest.raises(InputError, match="the HEIC file is damaged or incomplete"):
        read(data[:-200])


@pytest.mark.parametrize("name", [b"application/rdf+xml", b"\0\0Exif"])
def test_names_of_items_that_are_no_utf8(name: bytes, tmp_path: Path) -> None:
    """In pi-heif they end the process with a segmentation fault."""
    data = _file(_noise(), exif=b"Exif\0\0" + TURNED, xmp=XMP)
    at = data.index(name) + len(name) - 1
    (tmp_path / "a.heic").write_bytes(data[:at] + b"\xc9" + data[at + 1 :])
    frame = read(tmp_path / "a.heic")
    np.testing.assert_array_equal(np.sort(frame.pixels, axis=None), np.sort(_noise(), axis=None))
    assert frame.warnings == ("The HEIC has damaged metadata, which is not carried over.",)
    assert probe_size(tmp_path / "a.heic") == frame.size
    many = data[: data.index(b"infe") + 8] + b"\xc9\xff" + data[data.index(b"infe") + 10 :]
    assert with_readable_names(many) == many, "numbers of items are no letters"


def test_the_command_writes_a_jpeg(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(_file(_noise()))
    code, said = run("denoise", tmp_path / "a.heic", "--strength", 0)
    assert code == 0, said
    assert read(tmp_path / "a_nsp.jpg").size == (40, 64)


def test_without_the_extra_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\0\0\0\x18ftypheic" + bytes(100)
    (tmp_path / "a.HEIC").write_bytes(data)
    assert is_photo(tmp_path / "a.HEIC")
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    monkeypatch.setitem(__import__("sys").modules, "pi_heif", None)
    assert unread_format(tmp_path / "a.HEIC") == "HEIC"
    assert not is_photo(tmp_path / "a.HEIC")
    for attempt in (lambda: read(data), lambda: plan([str(tmp_path / "a.HEIC")])):
        with pytest.raises((InputError, NoInputError), match=r"pip install pi-heif"):
            attempt()
    assert "pip install pi-heif" in unread_sentence(Counter(HEIC=2))
