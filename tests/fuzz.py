"""Mutates small valid files of every format: what comes out is a valid photo or one clean error, and nothing else.

    python tests/fuzz.py [MUTANTS] [SEED]

runs as many as asked for (5,000) of rasters and again of RAW files, and prints those that fail;
`tests/image/test_fuzz.py` runs a few hundred, `benchmarks/faults.py` thousands of all formats with a limit of time.
"""

from __future__ import annotations

import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from nsp_cli.cli.batch.stamp import read_stamps
from nsp_cli.errors import NspError
from nsp_cli.image import Frame, Metadata, encode, read, write
from nsp_cli.image.colour import conversion
from nsp_cli.image.formats import reads_heic
from nsp_cli.image.probe import probe_exif, probe_size
from nsp_cli.noise.estimate import luma_level

LONGEST = 10.0
"""Seconds for one small file, on a machine that is busy with other things."""
_SIZE = (21, 34)
_ODD_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Sample = tuple[str, bytes]


def samples(metadata: Metadata) -> list[Sample]:
    """(name, file) of every format, depth and storage that is read."""
    rng = np.random.default_rng(0)
    eight = rng.integers(0, 256, (*_SIZE, 3), np.uint8)
    deep = rng.integers(0, 65536, (*_SIZE, 3), np.uint16)
    floats = rng.random((*_SIZE, 3), np.float32)
    frames = {
        "png": Frame(eight, eight[:, :, 0], metadata),
        "jpeg": Frame(eight, None, metadata),
        "tiff": Frame(eight, None, metadata),
        "webp": Frame(eight, eight[:, :, 1], metadata),
        "avif": Frame(eight, None, metadata),
    }
    made = [(name, encode(frame, name)[0]) for name, frame in frames.items()]
    made += [("png", encode(Frame(deep, deep[:, :, 0]), "png")[0]), ("png", encode(Frame(eight[:, :, :1]), "png")[0])]
    made += [("tiff", encode(Frame(pixels), "tiff")[0]) for pixels in (deep, floats)]
    picture = Image.fromarray(eight)
    for name, options in (
        ("PNG", {"mode": "P"}),
        ("JPEG", {"progressive": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "packbits"}),
        ("WEBP", {"lossless": True}),
    ):
        out = BytesIO()
        picture.convert(str(options.pop("mode", "RGB"))).save(out, name, **options)
        made.append((name.lower(), out.getvalue()))
    for options in ({"bigtiff": True}, {"byteorder": ">"}):
        out = BytesIO()
        with tifffile.TiffWriter(out, **options) as writer:
            writer.write(deep, tile=(16, 16), photometric="rgb", compression="zlib")
        made.append(("tiff", out.getvalue()))
    return made + _heic_samples(eight, metadata)


def _heic_samples(eight: np.ndarray, metadata: Metadata) -> list[Sample]:
    """None where HEIC is not read, or there is no pillow-heif to write it."""
    try:
        import pillow_heif
    except ImportError:
        return []
    out = BytesIO()
    picture = pillow_heif.from_bytes("RGB", _SIZE[::-1], eight.tobytes())
    picture.save(out, quality=90, exif=metadata.exif, xmp=metadata.xmp, icc_profile=metadata.icc)
    return [("heic", out.getvalue())] if reads_heic() else []


def raw_samples() -> list[Sample]:
    """DNG files with a camera's EXIF, behind a preview, and of makers whose notes LibRaw reads for itself."""
    from raw_builders import behind_a_preview, build_dng, mosaic

    sensor = mosaic(np.random.default_rng(0).random((40, 48, 3)))
    made = [build_dng(sensor), behind_a_preview(build_dng(sensor))]
    for maker, camera in ((b"Canon\0", b"Canon EOS 20D\0"), (b"NIKON CORPORATION\0", b"NIKON D850\0")):
        texts = {271: (2, len(maker), maker), 272: (2, len(camera), camera)}
        made.append(build_dng(sensor, exif=b"", extra=texts))
    return [("dng", data) for data in made]


def mutants(originals: list[Sample], count: int, seed: int) -> Iterator[Sample]:
    """A fixed seed gives the same files everywhere that the libraries write the same originals."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        name, original = originals[number % len(originals)]
        data = bytearray(original)
        for _ in range(int(rng.integers(1, 4))):
            _CHANGES[int(rng.integers(len(_CHANGES)))](data, rng)
        if name == "png" and rng.random() < 0.8:
            data = bytearray(with_checksums(bytes(data)))
        yield name, bytes(data)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, but more often in the first and last few hundred bytes, where headers and a TIFF's directories are."""
    part = min(len(data), 400)
    start, end = ((0, part), (len(data) - part, len(data)), (0, len(data)))[int(rng.integers(3))]
    return int(rng.integers(start, max(end, start + 1)))


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    data[at : at + 1] = bytes([int(rng.integers(256))])


def _number(data: bytearray, rng: np.random.Generator) -> None:
    at, value = _place(data, rng), int(rng.choice(_ODD_NUMBERS))
    code = str(rng.choice([">H", "<H", ">I", "<I"]))
    packed = struct.pack(code, value & (0xFFFF if code[1] == "H" else 0xFFFFFFFF))
    data[at : at + len(packed)] = packed


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_place(data, rng) :]


def _drop(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    del data[at : at + int(rng.integers(1, 64))]


def _insert(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    data[at:at] = rng.bytes(int(rng.integers(1, 64)))


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    start, to = _place(data, rng), _place(data, rng)
    part = data[start : start + int(rng.integers(1, 200))]
    data[to : to + len(part)] = part


_CHANGES: list[Callable[[bytearray, np.random.Generator], None]] = [_flip, _flip, _number, _number, _cut, _drop]
_CHANGES += [_insert, _repeat]


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have right checksums as far as their lengths can be followed, so that damage gets deeper."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, at)
        end = at + 8 + length
        if end + 4 > len(out):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def trouble(name: str, data: bytes, folder: Path, keep: Path | None = None) -> str | None:
    """What is wrong with how nsp takes a file, or None; `folder` is empty before and after.

    `keep` is where the output is moved to, with its suffix, for other programs to judge.
    """
    started = time.monotonic()
    source, target = folder / f"in.{name}", folder / f"out.{'tiff' if name in ('dng', 'heic') else name}"
    source.write_bytes(data)
    try:
        wrong = _taken(source, target)
        if keep is not None:
            target.replace(keep.with_suffix(target.suffix))
        if wrong:
            return wrong
    except NspError as error:
        if "\n" in str(error) or target.exists():
            return f"not one clean error: {error!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        for path in (source, target):
            path.unlink(missing_ok=True)
    if any(folder.iterdir()):
        return f"left behind: {[path.name for path in folder.iterdir()]}"
    seconds = time.monotonic() - started
    return f"took {seconds:.0f} s" if seconds > LONGEST else None


def _taken(source: Path, target: Path) -> str | None:
    """Read, measure and write a photo as a command does, without a network; return what is wrong with the result."""
    probe_size(source)
    probe_exif(source)
    frame = read(source)
    luma_level(frame.pixels, conversion(frame))
    read_stamps(source)
    write(replace(frame, pixels=frame.pixels.copy()), target)
    again = read(target)
    if again.size != frame.size:
        return "the size has changed"
    lossless = target.suffix in (".png", ".tiff")
    same = again.pixels.shape == frame.pixels.shape and np.array_equal(again.pixels, frame.pixels)
    return "the pixels have changed" if lossless and not same else None


def originals() -> tuple[list[Sample], list[Sample]]:
    """Rasters with metadata, and RAW files."""
    sys.path.insert(0, str(Path(__file__).parent / "image"))
    from image_builders import build_exif
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    metadata = Metadata(icc, build_exif(), b"<x:xmpmeta/>", (300.0, 300.0), b"\x1c\x02\x78\x00\x05hello")
    return samples(metadata), raw_samples()


def main(count: int = 5000, seed: int = 1) -> int:
    from nsp_cli.image import formats

    formats.MAX_PIXELS = 50_000_000  # a header that says a gigapixel is honest work, but slow
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for files in originals():
            for number, (name, data) in enumerate(mutants(files, count, seed)):
                found = trouble(name, data, Path(folder))
                if found is not None:
                    wrong += 1
                    print(f"mutant {number} ({name}): {found}", flush=True)
    print(f"2 x {count} mutants, {wrong} taken wrongly")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
