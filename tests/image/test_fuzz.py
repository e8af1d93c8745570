"""A few hundred damaged files; `tests/fuzz.py` runs thousands."""

from pathlib import Path

import pytest

from nsp_cli.image import Metadata, formats
from tests.fuzz import mutants, samples, trouble


def test_damaged_files_give_a_photo_or_a_clean_error(
    metadata: Metadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MAX_PIXELS", 20_000_000)
    folder = tmp_path / "work"
    folder.mkdir()
    originals = samples(metadata)
    for name, data in originals:
        assert trouble(name, data, folder) is None
    found = {
        number: (name, wrong)
        for number, (name, data) in enumerate(mutants(originals, 400, seed=0))
        if (wrong := trouble(name, data, folder)) is not None
    }
    assert found == {}
