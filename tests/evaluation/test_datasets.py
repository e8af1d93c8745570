"""The readers give every block, in order, upright, whichever MATLAB wrote the file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsp_cli.errors import InputError, NoInputError, UsageError
from nsp_cli.evaluation.datasets import DATASETS, open_dataset, read_boxes, read_mat
from nsp_cli.image import Frame, write
from tests.mat_builders import numbered, save_dnd, save_v5, save_v73

SIDD = (2, 3, 8, 12, 3)

versions = pytest.mark.parametrize("save", [save_v5, save_v73], ids=["v5", "v7.3"])


@versions
def test_a_variable_is_read_as_matlab_indexes_it(save: Callable[..., None], tmp_path: Path) -> None:
    save(tmp_path / "a.mat", "x", numbered(*SIDD))
    found = read_mat(tmp_path / "a.mat", "x")
    assert found.dtype == np.uint8
    assert np.array_equal(found, numbered(*SIDD))
    with pytest.raises(InputError, match="no whole variable y"):
        read_mat(tmp_path / "a.mat", "y")


@versions
def test_sidd_validation_pairs_blocks_in_order(save: Callable[..., None], tmp_path: Path) -> None:
    noisy, clean = numbered(*SIDD), numbered(*SIDD)[::-1].copy()
    save(tmp_path / "ValidationNoisyBlocksSrgb.mat", "ValidationNoisyBlocksSrgb", noisy)
    save(tmp_path / "ValidationGtBlocksSrgb.mat", "ValidationGtBlocksSrgb", clean)
    dataset = open_dataset("sidd-val", tmp_path)
    blocks = list(dataset.blocks())
    assert (dataset.count, dataset.complete) == (6, 1280)
    assert [(b.photo, b.index) for b in blocks] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    for block in blocks:
        assert np.array_equal(block.noisy, noisy[block.photo, block.index])
        assert np.array_equal(block.clean, clean[block.photo, block.index])


def test_sidd_benchmark_has_no_clean_blocks(tmp_path: Path) -> None:
    save_v5(tmp_path / "BenchmarkNoisyBlocksSrgb.mat", "BenchmarkNoisyBlocksSrgb", numbered(*SIDD))
    assert all(block.clean is None for block in open_dataset("sidd-bench", tmp_path).blocks())


def test_sidd_files_that_do_not_fit(tmp_path: Path) -> None:
    noisy, clean = (tmp_path / f"Validation{kind}BlocksSrgb.mat" for kind in ("Noisy", "Gt"))
    with pytest.raises(NoInputError, match=r"no ValidationNoisyBlocksSrgb\.mat"):
        open_dataset("sidd-val", tmp_path)
    save_v5(noisy, "ValidationNoisyBlocksSrgb", numbered(*SIDD))
    save_v5(clean, "ValidationGtBlocksSrgb", numbered(2, 2, 8, 12, 3))
    with pytest.raises(InputError, match="one shape"):
        open_dataset("sidd-val", tmp_path)
    save_v5(clean, "ValidationGtBlocksSrgb", numbered(*SIDD) / 255)
    with pytest.raises(InputError, match=r"uint8, got .* float64"):
        open_dataset("sidd-val", tmp_path)
    clean.write_bytes(noisy.read_bytes()[:300])
    with pytest.raises(InputError, match="no whole variable"):
        open_dataset("sidd-val", tmp_path)
    clean.write_bytes(b"not MATLAB's" * 100)
    with pytest.raises(InputError, match="not a MATLAB file"):
        open_dataset("sidd-val", tmp_path)


def test_dnd_crops_are_the_boxes_of_upright_photos(tmp_path: Path) -> None:
    photos = [(numbered(20, 30, 3) / 255).astype(np.float32), (numbered(24, 18, 3)[::-1] / 255).astype(np.float32)]
    boxes = [[(0, 0, 8, 10), (12, 20, 20, 30)], [(3, 5, 11, 15), (0, 8, 8, 18)]]
    save_dnd(tmp_path, photos, boxes)
    assert read_boxes(tmp_path / "info.mat") == boxes
    blocks = list(open_dataset("dnd", tmp_path).blocks())
    assert [(b.photo, b.index) for b in blocks] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for block in blocks:
        top, left, bottom, right = boxes[block.photo][block.index]
        assert block.noisy.dtype == np.float32
        assert np.array_equal(block.noisy, photos[block.photo][top:bottom, left:right])


def test_dnd_files_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match=r"no info\.mat"):
        open_dataset("dnd", tmp_path)
    save_v5(tmp_path / "info.mat", "info", np.zeros(3))
    with pytest.raises(InputError, match="bounding boxes"):
        open_dataset("dnd", tmp_path)
    (tmp_path / "info.mat").unlink()
    save_dnd(tmp_path, [np.zeros((20, 30, 3), np.float32)], [[(0, 0, 8, 31)]])
    with pytest.raises(InputError, match="lies outside"):
        list(open_dataset("dnd", tmp_path).blocks())


@pytest.mark.parametrize("name", ["polyu", "cc"])
def test_folders_of_pairs(name: str, tmp_path: Path) -> None:
    clean, noisy = numbered(16, 20, 3), numbered(16, 20, 3)[::-1]
    write(Frame(clean), tmp_path / "Canon_1_mean.png")
    write(Frame(np.ascontiguousarray(noisy)), tmp_path / "Canon_1_real.png")
    (block,) = open_dataset(name, tmp_path).blocks()
    assert np.array_equal(block.noisy, noisy)
    assert np.array_equal(block.clean, clean)


def test_names_and_folders_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=", ".join(DATASETS)):
        open_dataset("bsd", tmp_path)
    with pytest.raises(NoInputError, match="not a folder"):
        open_dataset("cc", tmp_path / "none")
    save_v73(tmp_path / "BenchmarkNoisyBlocksSrgb.mat", "BenchmarkNoisyBlocksSrgb", numbered(0, 3, 8, 12, 3))
    with pytest.raises(NoInputError, match="hold no block"):
        open_dataset("sidd-bench", tmp_path)
