"""A few hundred damaged files; `tests/fuzz.py` runs thousands."""

from pathlib import Path

import pytest

from nsp_cli.image import Metadata, formats, read
from nsp_cli.image.codecs.raw_kinds import is_raw
from tests.fuzz import Sample, mutants, raw_samples, samples, trouble


def test_damaged_files_give_a_photo_or_a_clean_error(
    metadata: Metadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MAX_PIXELS", 20_000_000)
    survive(samples(metadata), 300, tmp_path / "work")


def test_damaged_raw_files_give_a_photo_or_a_clean_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LibRaw is C++ that could take the interpreter down; in the script's thousands it never did."""
    monkeypatch.setattr(formats, "MAX_PIXELS", 20_000_000)
    originals = raw_samples()
    assert all(is_raw(data) and read(data).container == "raw" for _, data in originals)
    survive(originals, 80, tmp_path / "work")


def survive(originals: list[Sample], count: int, folder: Path) -> None:
    folder.mkdir()
    for name, data in originals:
        assert trouble(name, data, folder) is None
    found = {
        number: (name, wrong)
        for number, (name, data) in enumerate(mutants(originals, count, seed=0))
        if (wrong := trouble(name, data, folder)) is not None
    }
    assert found == {}
