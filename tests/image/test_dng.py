"""A linear DNG opens as the RAW file that it was made from: same values, same colours, same development."""

import shutil
import struct
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rawpy
from image_builders import build_exif
from PIL import Image
from raw_builders import build_dng, mosaic, pattern_tags, without_dng_tags
from skimage.color import deltaE_ciede2000, rgb2lab

from nsp_cli.cli.batch.stamp import read_stamps
from nsp_cli.errors import InputError, OutputError, UsageError
from nsp_cli.image import Frame, RawOptions, encode, read
from nsp_cli.image.codecs.linear_raw import camera_model
from nsp_cli.image.metadata.icc import SRGB_CURVE
from nsp_cli.image.metadata.ifd import Tree, append_directory
from nsp_cli.simulation.scene import sample_picture
from tests.cli.test_commands import run

BAYER = (((0, 1), (1, 2)), ((1, 0), (2, 1)), ((1, 2), (0, 1)), ((2, 1), (1, 0)))
X_TRANS = tuple(
    tuple("RGB".index(c) for c in row) for row in ("GBGGRG", "RGRBGB", "GBGGRG", "GRGGBG", "BGBRGR", "GRGGBG")
)
LINEAR = RawOptions(linear=True)


def longs(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def picture(height: int = 96, width: int = 128) -> np.ndarray:
    """(H, W, 3) linear light with a highlight that the green of the sensor cuts and the others do not."""
    encoded = sample_picture(height, width, np.random.default_rng(0))
    linear = SRGB_CURVE.to_linear(encoded).astype(np.float64)
    linear[8:24, 8:24] = 1.5
    return linear


def camera_exif(make: bytes, model: bytes) -> bytes:
    out = bytearray(b"II*\0\0\0\0\0")
    fields = [(271, 2, len(make) + 1, make + b"\0"), (272, 2, len(model) + 1, model + b"\0")]
    struct.pack_into("<I", out, 4, append_directory(out, "<", fields))
    return bytes(out)


def monochrome() -> bytes:
    """Made from a mosaic of one colour, as cameras without colour filters store it."""
    grey = picture()[..., :1] * [0.5, 0.5, 0.5]
    return build_dng(mosaic(grey, (1, 1, 1)), neutral=None, extra={262: (3, 1, struct.pack("<H", 34892))})


def cases() -> dict[str, bytes]:
    linear = picture()
    made = {f"bayer {i}": build_dng(mosaic(linear, pattern=p), extra=pattern_tags(p)) for i, p in enumerate(BAYER)}
    made |= {f"turned {turn}": build_dng(mosaic(linear), orientation=turn) for turn in (3, 6, 8)}
    borders = {50829: (4, 4, longs(2, 4, 94, 124)), 50719: (4, 2, longs(8, 6)), 50720: (4, 2, longs(100, 80))}
    made["borders"] = build_dng(mosaic(linear), extra=borders)
    # LibRaw develops X-Trans by tiles of 512 pixels, and nothing smaller than one.
    made["x-trans"] = build_dng(mosaic(picture(516, 522), pattern=X_TRANS), extra=pattern_tags(X_TRANS))
    sony = build_dng(mosaic(linear), exif=camera_exif(b"SONY", b"ILCE-7M3"))
    made["not a dng"] = without_dng_tags(sony)
    return made


CASES = cases()


def opened(data: bytes, **options: Any) -> np.ndarray:
    """(H, W, C) uint16, as LibRaw develops it without a look at how bright the photo is."""
    with rawpy.imread(BytesIO(data)) as raw:
        return raw.postprocess(output_bps=16, no_auto_bright=True, adjust_maximum_thr=0, **options)


def fields_of(dng: bytes) -> tuple[Tree, dict[int, Any], dict[int, Any]]:
    """The file, the fields of its first directory, and those of the photo's."""
    tree = Tree(dng)
    first = tree.directory(tree.first)
    sub = tree.child(first, 330)
    assert sub is not None
    return tree, first.fields, sub.fields


@pytest.mark.parametrize("name", CASES)
def test_the_demosaiced_values_come_back(name: str) -> None:
    source = CASES[name]
    frame = read(source, LINEAR)
    dng, warnings = encode(frame, "dng")
    assert warnings == ()
    # What LibRaw gives for the source, with the balance that it is demosaiced in, and without that balance.
    with rawpy.imread(BytesIO(source)) as raw:
        factors = raw.camera_whitebalance if min(raw.camera_whitebalance[:3]) > 0 else raw.daylight_whitebalance
    balance = np.array(factors[:3])
    demosaiced = opened(
        source,
        output_color=rawpy.ColorSpace.raw,  # pyright: ignore[reportAttributeAccessIssue]
        gamma=(1, 1),
        user_wb=[*balance, balance[1]],
        highlight_mode=rawpy.HighlightMode.Ignore,  # pyright: ignore[reportAttributeAccessIssue]
        user_flip=0,
    )
    expected = demosaiced * (balance.max() / balance)
    with rawpy.imread(BytesIO(dng)) as raw:
        stored = raw.raw_image_visible[..., :3].astype(float)
        assert raw.white_level == 65535
        assert not any(raw.black_level_per_channel)
    assert np.abs(stored - np.minimum(expected, 65535)).max() <= 1


@pytest.mark.parametrize("name", CASES)
def test_it_develops_like_the_raw_file(name: str) -> None:
    source = CASES[name]
    dng = encode(read(source, LINEAR), "dng")[0]
    with rawpy.imread(BytesIO(source)) as raw:
        daylight = min(raw.camera_whitebalance[:3]) <= 0
    before = opened(source, use_camera_wb=not daylight)
    after = opened(dng, use_camera_wb=True)
    assert before.shape == after.shape
    difference = deltaE_ciede2000(rgb2lab(before / 65535), rgb2lab(after / 65535))
    assert difference.mean() < 0.5


def test_a_monochrome_camera() -> None:
    source = monochrome()
    frame = read(source, LINEAR)
    assert frame.pixels.shape[2] == 1
    dng, warnings = encode(frame, "dng")
    assert warnings == ()
    np.testing.assert_array_equal(opened(dng), opened(source))


def test_highlights_go_on_above_white() -> None:
    frame = read(CASES["bayer 0"], LINEAR)
    assert frame.pixels.dtype == np.float32
    assert frame.pixels.max() > 1.1
    stored = opened(encode(frame, "dng")[0], user_wb=[1, 1, 1, 1], output_color=rawpy.ColorSpace.raw, gamma=(1, 1))
    # 1.5 in a light of which the sensor sees (0.5, 1, 0.625): green is cut and the others are as they were.
    np.testing.assert_allclose(stored[16, 16] / 65535, (0.75, 1, 0.9375), atol=1e-3)


def test_what_it_says_of_the_camera() -> None:
    profile = {50936: (2, 5, b"Mine\0"), 50730: (10, 1, struct.pack("<2i", -35, 100)), 51022: (7, 4, bytes(4))}
    source = build_dng(mosaic(picture()), extra={**profile, 51009: (7, 4, bytes(4))})
    frame = read(source, LINEAR)
    assert frame.warnings == (
        "The RAW file's corrections before demosaicing, such as lens shading, are not carried over.",
    )
    dng = encode(frame, "dng")[0]
    tree, first, photo = fields_of(dng)
    old = Tree(source)
    before = old.directory(old.first).fields
    for tag in (50708, 50721, 50728, 50730, 50778, 50936):
        assert tree.raw(first[tag]) == old.raw(before[tag]), tag
    assert tree.raw(photo[51022]) == bytes(4)
    assert tree.number(first[254]) == 1
    assert tree.number(photo[262]) == 34892


def test_colours_from_libraw_s_table() -> None:
    tree, first, _ = fields_of(encode(read(CASES["not a dng"], LINEAR), "dng")[0])
    with rawpy.imread(BytesIO(CASES["not a dng"])) as raw:
        matrix = raw.rgb_xyz_matrix[:3].ravel()
    values = np.array(tree.values(first[50721]), float)
    np.testing.assert_allclose(values[::2] / values[1::2], matrix, atol=1e-6)
    assert tree.raw(first[50708]) == b"Sony ILCE-7M3\0"
    assert tree.number(first[50778]) == 21


def test_borders_orientation_and_preview() -> None:
    tree, first, photo = fields_of(encode(read(CASES["borders"], LINEAR), "dng")[0])
    assert (tree.values(photo[50719]), tree.values(photo[50720])) == ((8, 6), (100, 80))
    dng = encode(read(CASES["turned 6"], LINEAR), "dng")[0]
    tree, first, photo = fields_of(dng)
    assert tree.number(first[274]) == 6
    assert (tree.number(photo[256]), tree.number(photo[257])) == (128, 96)
    with Image.open(BytesIO(dng[tree.number(first[273]) :])) as preview:
        assert preview.format == "JPEG"
        assert preview.size == (128, 96)
        shown = np.asarray(preview)
    developed = read(CASES["bayer 0"]).pixels / 257
    assert np.abs(shown[40:] - developed[40:]).mean() < 6, "the highlight at the top is cut elsewhere"


@pytest.mark.parametrize("order", ["<", ">"])
def test_metadata(order: str) -> None:
    xmp = b'<x:xmpmeta><a crs:Exposure="1"/></x:xmpmeta>'
    frame = read(build_dng(mosaic(picture()), exif=build_exif("<"), extra={700: (1, len(xmp), xmp)}), LINEAR)
    assert frame.warnings == ()
    if order == ">":
        frame = Frame(
            frame.pixels, metadata=frame.metadata.__class__(exif=build_exif(">")), linear_raw=frame.linear_raw
        )
    dng = encode(frame, "dng")[0]
    with Image.open(BytesIO(dng)) as image:
        exif = image.getexif()
        assert exif[0x010F] == "Canon"
        assert exif.get_ifd(0x8769)[0xA434] == "Lens 50mm f/1.8"
        assert exif.get_ifd(0x8825)[2] == (48, 51, 12.34)
    if order == "<":
        assert xmp in dng, "a RAW program goes on with its own settings"
    assert np.abs(opened(dng).astype(int) - opened(encode(read(CASES["bayer 0"], LINEAR), "dng")[0])).max() <= 1
    bare = encode(frame, "dng", keep_metadata=False)[0]
    assert b"Lens 50mm" not in bare
    assert b"crs:" not in bare


def validated(path: Path) -> list[str]:
    """What exiftool finds wrong with a file, warnings too."""
    command = ["exiftool", "-validate", "-warning", "-error", "-a", path.name]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, check=True)
    assert done.stdout.startswith(b"Validate ")
    return [line for line in done.stdout.decode().splitlines() if line.split() != ["Validate", ":", "OK"]]


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("name", [*CASES, "monochrome"])
def test_exiftool_validates(name: str, tmp_path: Path) -> None:
    source = monochrome() if name == "monochrome" else CASES[name]
    (tmp_path / "a.dng").write_bytes(encode(read(source, LINEAR), "dng")[0])
    assert validated(tmp_path / "a.dng") == []


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("name", ["bayer 2", "borders", "x-trans", "monochrome"])
def test_the_command_at_strength_0(name: str, tmp_path: Path, weights: Callable[..., Path]) -> None:
    """The file is valid and stamped, and holds the values that the tests above compare with the RAW file."""
    source = monochrome() if name == "monochrome" else CASES[name]
    (tmp_path / "out").mkdir()
    (tmp_path / "X.dng").write_bytes(source)
    flags = ("-m", weights(), "--strength", 0, "--format", "dng")
    code, said = run("denoise", tmp_path / "X.dng", tmp_path / "out", *flags)
    assert code == 0, said
    result = tmp_path / "out" / "X.dng"
    np.testing.assert_array_equal(opened(result.read_bytes()), opened(encode(read(source, LINEAR), "dng")[0]))
    assert validated(result) == []
    (stamp,) = read_stamps(result)
    assert stamp.settings["strength"] == 0


@pytest.mark.parametrize("program", ["darktable-cli", "rawtherapee-cli"])
@pytest.mark.slow
def test_raw_programs_open_it(program: str, tmp_path: Path) -> None:
    tool = shutil.which(program)
    if tool is None:
        pytest.skip(f"{program} is not installed")
    source = build_dng(mosaic(picture(600, 800)))  # RawTherapee opens no photo of 96×128
    (tmp_path / "a.dng").write_bytes(encode(read(source, LINEAR), "dng")[0])
    command = {
        "darktable-cli": [tool, "a.dng", "a.png", "--core", "--configdir", "config", "--library", ":memory:"],
        "rawtherapee-cli": [tool, "-n", "-o", "a.png", "-c", "a.dng"],
    }[program]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=240)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (800, 600)
        assert 80 < np.asarray(image.convert("L")).mean() < 170


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        (b"NIKON CORPORATION", b"NIKON D800", "Nikon D800"),
        (b"Canon", b"Canon EOS 5D Mark III", "Canon EOS 5D Mark III"),
        (b"OLYMPUS IMAGING CORP.", b"E-M1", "Olympus E-M1"),
        (b"RICOH IMAGING COMPANY, LTD.", b"PENTAX K-1", "Pentax K-1"),
        (b"", b"", "Unknown camera"),
    ],
)
def test_camera_model(make: bytes, model: bytes, name: str) -> None:
    assert camera_model(camera_exif(make, model)) == name
    assert camera_model(None) == "Unknown camera"


def test_what_cannot_be_is_a_sentence(make_frame: Callable[..., Frame]) -> None:
    with pytest.raises(UsageError, match="`exposure`"):
        RawOptions(exposure=1, linear=True)
    with pytest.raises(OutputError, match="RAW photo"):
        encode(make_frame(), "dng")
    with pytest.raises(OutputError, match="RAW photo"):
        encode(read(CASES["bayer 0"], LINEAR), "tiff")


def test_strips_and_the_largest_file(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = read(CASES["bayer 0"], LINEAR)
    whole = opened(encode(frame, "dng")[0])
    monkeypatch.setattr("nsp_cli.image.codecs.dng._STRIP_BYTES", 10_000)  # of 13 rows each; the last has 5
    np.testing.assert_array_equal(opened(encode(frame, "dng")[0]), whole)
    monkeypatch.setattr("nsp_cli.image.codecs.dng._MOST_BYTES", 1000)
    with pytest.raises(OutputError, match="4 GB"):
        encode(frame, "dng")


def test_the_command(tmp_path: Path, weights: Callable[..., Path], make_frame: Callable[..., Frame]) -> None:
    model = weights()
    (tmp_path / "IMG_1.NEF").write_bytes(CASES["turned 6"])
    assert run("denoise", tmp_path / "IMG_1.NEF", "-m", model, "--format", "dng")[0] == 0
    denoised = read(tmp_path / "IMG_1_nsp.dng", LINEAR)
    before = read(tmp_path / "IMG_1.NEF", LINEAR)
    assert denoised.size == before.size
    assert np.abs(denoised.pixels - before.pixels).max() > 0.01
    assert run("denoise", tmp_path / "IMG_1.NEF", tmp_path / "a.dng", "-m", model, "--strength", "0")[0] == 0
    np.testing.assert_allclose(read(tmp_path / "a.dng", LINEAR).pixels, before.pixels, atol=1e-3)
    assert run("sr", tmp_path / "IMG_1.NEF", tmp_path / "large.dng", "-m", model, "--mode", "direct")[0] == 0
    assert read(tmp_path / "large.dng", LINEAR).size == (192, 256)
    (tmp_path / "b.png").write_bytes(encode(make_frame(), "png")[0])
    code, said = run("denoise", tmp_path / "b.png", "-m", model, "--format", "dng")
    assert code == 1
    assert "a DNG is made of RAW photos, not of PNG" in said
    code, said = run("denoise", tmp_path / "IMG_1.NEF", "-m", model, "--format", "dng", "--raw-wb", "auto")
    assert code == 2
    assert "--raw-wb" in said
    assert sorted(path.suffix for path in tmp_path.glob("*nsp*")) == [".dng"]


def test_four_colours_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsp_cli.image.codecs.linear_raw._COLOURS", (1,))
    with pytest.raises(InputError, match="three colours"):
        read(CASES["bayer 0"], LINEAR)
