"""PSNR and SSIM agree with their definitions, and pairs are found by their names."""

from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nsp_cli.errors import InputError, NoInputError
from nsp_cli.evaluation.metrics import PUBLISHED, Scores, find_pairs, mean, psnr, published_scores, score, unpaired
from nsp_cli.image import Frame, write


def picture(seed: int = 0, shape: tuple[int, int, int] = (32, 40, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


def test_psnr_is_scikit_image_s() -> None:
    assert psnr(picture(0), picture(1)) == pytest.approx(peak_signal_noise_ratio(picture(0), picture(1)))
    assert psnr(picture(), picture()) == float("inf")


def test_a_perfect_result_has_ssim_one() -> None:
    assert score(picture(), picture()) == Scores(float("inf"), pytest.approx(1.0))


def test_depths_are_compared_at_eight_bits() -> None:
    sixteen = picture().astype(np.uint16) * 257
    assert score(sixteen, picture()).psnr == float("inf")
    assert score(sixteen.astype(np.float32) / np.float32(65535), picture()).psnr == float("inf")


def test_every_published_figure_is_its_own() -> None:
    """Noise in chroma alone leaves Y, and with it SSIM on Y, alone; windows tell the other two apart."""
    clean = np.full((40, 40, 3), 120, np.uint8)
    noisy = clean.copy()
    noisy[::2, ::3] = [140, 114, 101]  # 0.299·20 − 0.587·6 − 0.114·19 = 0.3
    found = published_scores(noisy, clean)
    assert list(found) == list(PUBLISHED)
    assert found["ssim"] == score(noisy, clean).ssim
    assert found["ssim_y"] > 0.99 > found["ssim_channels"] > found["ssim"]
    assert set(published_scores(clean, clean).values()) == {float("inf"), 1.0}


def test_ssim_of_y_is_that_of_video_range(tmp_path: Path) -> None:
    """AT-BSN's definition, written out: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, not rounded."""
    a, b = (16 + picture(seed).astype(np.float64) @ [65.481, 128.553, 24.966] / 255 for seed in (0, 1))
    how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = structural_similarity(a, b, **how)
    assert published_scores(picture(0), picture(1))["ssim_y"] == pytest.approx(expected, abs=1e-5)


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match="one size"):
        score(picture(), picture(shape=(32, 41, 3)))


def test_the_mean_is_over_photos() -> None:
    assert mean([Scores(30, 0.5), Scores(40, 0.9)]) == Scores(35, 0.7)


@pytest.mark.parametrize(("noisy", "clean"), [("a_noisy", "a_clean"), ("a_real", "a_mean"), ("a_NOISY", "a_GT")])
def test_pairs_in_one_folder(tmp_path: Path, noisy: str, clean: str) -> None:
    for name in (noisy, clean, "alone_noisy"):
        write(Frame(picture()), tmp_path / f"{name}.png")
    assert find_pairs(tmp_path, tmp_path) == [(tmp_path / f"{noisy}.png", tmp_path / f"{clean}.png")]


def test_pairs_of_equal_names_in_two_folders(tmp_path: Path) -> None:
    for folder in ("noisy", "clean"):
        (tmp_path / folder).mkdir()
        write(Frame(picture()), tmp_path / folder / "a.png")
    pairs = find_pairs(tmp_path / "noisy", tmp_path / "clean")
    assert pairs == [(tmp_path / "noisy" / "a.png", tmp_path / "clean" / "a.png")]
    with pytest.raises(NoInputError):
        find_pairs(tmp_path / "noisy", tmp_path / "noisy")
    with pytest.raises(NoInputError, match="not a folder"):
        find_pairs(tmp_path / "none", tmp_path / "clean")


def test_photos_without_a_partner_are_found(tmp_path: Path) -> None:
    noisy, clean = tmp_path / "noisy", tmp_path / "clean"
    for folder, names in ((noisy, "ab"), (clean, "ac")):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.png").write_bytes(b"")
    (noisy / "notes.txt").write_bytes(b"")
    assert unpaired(noisy, find_pairs(noisy, clean)) == [noisy / "b.png"]
    for name in ("x_noisy", "x_clean", "y_noisy"):
        (clean / f"{name}.png").write_bytes(b"")
    assert [path.stem for path in unpaired(clean, find_pairs(clean, clean))] == ["a", "c", "y_noisy"]
