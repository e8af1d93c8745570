"""Crops are the same for the same seed and step, and the memory that they need has a bound."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from nsp_cli.cli.commands.train import find_photos
from nsp_cli.errors import InputError, NoInputError
from nsp_cli.image import Frame, write
from nsp_cli.training.data import (
    NOISY,
    PhotoCache,
    StepBatches,
    contents,
    large_enough,
    open_with_noisy,
    train_val_split,
)


def photos(paths: list[Path], **changes: int) -> StepBatches:
    return StepBatches(paths, **{"patch": 32, "batch": 4, "steps": 10, "seed": 1, "cache_bytes": 10**8, **changes})


def test_a_step_s_batch_does_not_depend_on_the_steps_before(noisy_photos: Path) -> None:
    paths = sorted(noisy_photos.iterdir())
    walked, fresh = photos(paths), photos(paths)
    for step in range(9):
        last = walked[step]
    assert torch.equal(last, fresh[8])
    assert last.shape == (4, 3, 32, 32)
    assert last.dtype == torch.float32
    assert 0 <= last.min() < last.max() <= 1
    assert not torch.equal(fresh[7], fresh[8])
    assert not torch.equal(fresh[8], photos(paths, seed=2)[8])


def test_a_small_cache_changes_nothing_but_memory(noisy_photos: Path) -> None:
    paths = sorted(noisy_photos.iterdir())
    assert torch.equal(photos(paths, cache_bytes=1)[5], photos(paths)[5])
    cache = PhotoCache(70_000)
    sizes = [cache.bytes for path in paths * 2 if cache.get(path) is not None]
    assert max(sizes) <= 70_000
    assert len(cache._kept) == 2


def test_every_photo_and_every_orientation_is_used(tmp_path: Path) -> None:
    """Photos whose colour says which they are, with one bright corner that says how a crop was turned."""
    for i in range(20):
        pixels = np.full((32, 32, 3), 10 * i, np.uint8)
        pixels[:8, :4] = 255
        write(Frame(pixels), tmp_path / f"{i:02d}.png")
    data = photos(sorted(tmp_path.iterdir()), steps=400)
    crops = torch.cat([data[step] for step in range(0, 400, 4)])
    shades = {int(value) for value in (crops[:, 0, 16, 16] * 255).round()}
    assert shades == set(range(0, 200, 10))
    corners = {
        tuple(int(bool(crop[0, y, x] > 0.9)) for y, x in [(7, 3), (3, 7), (7, 28), (3, 24), (24, 3), (28, 7)])
        for crop in crops
    }
    assert len(corners) >= 6


def test_flips_alone_never_swap_the_sides(tmp_path: Path) -> None:
    """A photo whose upper half is bright: flips leave the halves one above the other."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 255
    write(Frame(pixels), tmp_path / "0.png")
    for rotate in (True, False):
        crops = torch.cat([photos([tmp_path / "0.png"], rotate=rotate)[step] for step in range(10)])
        upright = [bool(crop[0, 8, 8] == crop[0, 8, 24]) for crop in crops]
        assert all(upright) is not rotate


def test_bad_and_small_photos_are_passed_over(noisy_photos: Path) -> None:
    (noisy_photos / "broken.png").write_bytes(b"not a picture")
    write(Frame(np.zeros((8, 8, 3), np.uint8)), noisy_photos / "small.png")
    data = photos(sorted(noisy_photos.iterdir()), steps=200)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(0, 200, 5):
            assert data[step].shape == (4, 3, 32, 32)
    messages = " ".join(str(w.message) for w in caught)
    assert messages.count("broken.png") == 1
    assert messages.count("small.png is smaller than a patch") == 1


def test_thousands_of_small_photos_are_one_line(tmp_path: Path) -> None:
    write(Frame(np.zeros((8, 40, 3), np.uint8)), tmp_path / "000.png")
    write(Frame(np.zeros((40, 40, 3), np.uint8)), tmp_path / "large.png")
    for number in range(1, 200):
        (tmp_path / f"{number:03}.png").hardlink_to(tmp_path / "000.png")
    with pytest.warns(UserWarning, match=r"smaller|damaged|empty|cannot be read|supported|not named") as caught:
        assert large_enough(sorted(tmp_path.iterdir()), 32) == [tmp_path / "large.png"]
    (said,) = (str(warning.message) for warning in caught)
    assert said.startswith("200 photos are smaller than a patch of 32 pixels, left out: ")
    assert said.endswith("004.png and 195 more.")
    with pytest.raises(NoInputError, match="All 200 photos are smaller"):
        large_enough(sorted(tmp_path.iterdir())[:200], 32)


def test_photos_that_cannot_be_read_are_named_a_few_times(tmp_path: Path) -> None:
    write(Frame(np.zeros((40, 40, 3), np.uint8)), tmp_path / "good.png")
    for number in range(50):
        (tmp_path / f"{number:03}.png").write_bytes(b"not a picture")
    with pytest.warns(UserWarning, match=r"smaller|damaged|empty|cannot be read|supported|not named") as caught:
        photos(sorted(tmp_path.iterdir()))[0]
    assert len(caught) == 6
    assert "not named" in str(caught[-1].message)


def test_no_usable_photo_is_an_error(tmp_path: Path) -> None:
    write(Frame(np.zeros((8, 8, 3), np.uint8)), tmp_path / "small.png")
    with pytest.raises(NoInputError, match="smaller `patch`"), pytest.warns(UserWarning, match="small.png"):
        photos([tmp_path / "small.png"])[0]
    with pytest.raises(NoInputError, match="no photo"):
        photos([])


def test_grey_photos_train_as_rgb(tmp_path: Path) -> None:
    write(Frame(np.random.default_rng(0).integers(0, 255, (40, 40, 1), np.uint8)), tmp_path / "grey.png")
    batch = photos([tmp_path / "grey.png"])[0]
    assert torch.equal(batch[:, 0], batch[:, 2])


def test_every_tenth_photo_is_held_out() -> None:
    paths = [Path(f"{i}.png") for i in range(25)]
    training, validation = train_val_split(paths)
    assert validation == [paths[0], paths[10], paths[20]]
    assert sorted(training + validation) == sorted(paths)
    assert train_val_split(paths[:3]) == (paths[:3], [])
    assert train_val_split(paths, 0) == (paths, [])
    assert train_val_split(paths, 5)[1] == paths[::5]


@pytest.mark.parametrize(("batch", "world", "parts"), [(8, 2, [4, 4]), (8, 3, [3, 3, 2]), (2, 3, [1, 1, 1])])
def test_processes_share_a_batch(noisy_photos: Path, batch: int, world: int, parts: list[int]) -> None:
    photos = sorted(noisy_photos.iterdir())
    data = StepBatches(photos, patch=32, batch=batch, steps=1, seed=1, cache_bytes=10**8)
    shared = [data.shard(rank, world)[0] for rank in range(world)]
    assert [len(part) for part in shared] == parts
    crops = torch.cat(shared).flatten(1)
    assert len(torch.unique(crops, dim=0)) == len(crops)  # no two see the same


def test_a_clean_photo_may_have_a_noisy_one_beside_it(tmp_path: Path) -> None:
    clean, noisy = tmp_path / "a.png", tmp_path / NOISY / "a.png"
    noisy.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    write(Frame(pixels), clean)
    assert len(open_with_noisy(clean)) == 1
    write(Frame(255 - pixels), noisy)
    layers = open_with_noisy(clean)
    assert np.array_equal(layers[0], pixels)
    assert np.array_equal(layers[1], 255 - pixels)
    assert find_photos([tmp_path]) == [clean]  # read together with it
    assert find_photos([noisy.parent]) == [noisy]
    first = contents([clean])
    write(Frame(pixels[:39]), noisy, overwrite=True)
    assert contents([clean]) != first  # another run
    with pytest.raises(InputError, match=r"a\.png has another size than"):
        open_with_noisy(clean)
