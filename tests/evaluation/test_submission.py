"""What is handed in decodes to what was denoised, block by block."""

import base64
import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from nsp_cli.errors import TargetExistsError, UsageError
from nsp_cli.evaluation.submission import DndBundle, SiddCsv
from tests.mat_builders import numbered


def test_the_csv_decodes_to_the_blocks_in_order(tmp_path: Path) -> None:
    blocks = numbered(2, 3, 8, 12, 3)
    submission = SiddCsv(tmp_path / "out.csv")
    for i, j in np.ndindex(2, 3):
        submission.add(i, j, blocks[i, j])
    assert not (tmp_path / "out.csv").exists()
    with submission.close().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [["ID", "BLOCK"]] * 6
    assert [row["ID"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    decoded = [np.frombuffer(base64.b64decode(row["BLOCK"]), np.uint8).reshape(8, 12, 3) for row in rows]
    assert np.array_equal(np.reshape(decoded, blocks.shape), blocks)


def test_the_bundle_holds_the_crops_of_each_photo(tmp_path: Path) -> None:
    crops = (numbered(2, 3, 8, 12, 3) / 255).astype(np.float32)
    submission = DndBundle(tmp_path / "out")
    for i, j in np.ndindex(2, 3):
        submission.add(i, j, crops[i, j] + np.float32(0.5))
    folder = submission.close()
    assert [p.name for p in sorted(folder.iterdir())] == ["0001.mat", "0002.mat"]
    for i in range(2):
        bundle = loadmat(folder / f"{i + 1:04d}.mat")
        assert bundle["Idenoised"].shape == (1, 3)
        assert bundle["Idenoised"].dtype == object
        assert (bundle["israw"].item(), bundle["eval_version"].item()) == (0, "1.0")
        for j, crop in enumerate(bundle["Idenoised"][0]):
            assert crop.dtype == np.float32
            assert np.array_equal(crop, np.clip(crops[i, j] + np.float32(0.5), 0, 1))
            single = loadmat(tmp_path / "out" / f"{i + 1:04d}_{j + 1:02d}.mat")["Idenoised_crop"]
            assert np.array_equal(single, crop)


def test_nothing_is_overwritten_and_no_work_is_lost_to_a_wrong_name(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("mine")
    with pytest.raises(TargetExistsError, match="exists already"):
        SiddCsv(tmp_path / "old.csv")
    with pytest.raises(UsageError, match=r"a \.csv file"):
        SiddCsv(tmp_path / "out.txt")
    with pytest.raises(UsageError, match="no folder"):
        SiddCsv(tmp_path / "none" / "out.csv")
    with pytest.raises(TargetExistsError, match="not empty"):
        DndBundle(tmp_path)
    with pytest.raises(UsageError, match="a folder"):
        DndBundle(tmp_path / "old.csv")
