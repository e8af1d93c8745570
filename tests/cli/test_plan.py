"""What is typed becomes pairs of photo and output, and no photo is ever another one's output."""

import os
from pathlib import Path

import pytest

from nsp_cli.cli.batch import work as module
from nsp_cli.cli.batch.plan import plan
from nsp_cli.errors import NoInputError, OutputError, UsageError
from nsp_cli.system.atomic import write_atomically
from tests.cli.test_commands import Weights, run


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "c.png"):
        Path(name).write_bytes(name.encode())
    return tmp_path


def pairs(*paths: str, **settings: object) -> list[tuple[str, str]]:
    works, _ = plan(paths, **settings)  # pyright: ignore[reportArgumentType]
    return [(work.source.as_posix(), work.target.as_posix()) for work in works if work.problem is None]


@pytest.mark.parametrize("form", [{"output": "out.jpg"}, {}])
def test_a_format_and_an_output_of_another_one_are_refused(photos: Path, form: dict[str, str]) -> None:
    paths = ("a.png",) if form else ("a.png", "out.jpg")
    for other in ("png", "tiff"):
        with pytest.raises(
            UsageError, match=rf"out\.jpg is not {other}; give it another suffix, or leave out --format"
        ):
            plan(paths, format=other, **form)
    assert pairs(*paths, format="jpeg", **form) == [("a.png", "out.jpg")]
    assert pairs("a.png", output=str(photos / "out.jpg") + "/", format="png")[0][1].endswith("out.jpg/a.png")


@pytest.mark.parametrize("if_exists", ["overwrite", "skip", "rename", "fail"])
def test_two_photos_are_never_input_and_output(
    weights: Weights, noisy_photos: Path, if_exists: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `nsp denoise *.png` is expanded where two photos lie."""
    monkeypatch.chdir(noisy_photos)
    before = Path("1.png").read_bytes()
    code, said = run("denoise", "0.png", "1.png", "--if-exists", if_exists, "-m", weights())
    assert code == 2
    assert "-o FOLDER" in said
    assert "-o 1.png --if-exists overwrite" in said
    assert Path("1.png").read_bytes() == before
    assert not Path("1_2.png").exists()
    assert run("denoise", "0.png", "1.png", "-o", "out", "-m", weights())[0] == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["0.png", "1.png"]
    assert run("denoise", "0.png", "-o", "1.png", "--if-exists", "overwrite", "-m", weights())[0] == 0
    assert Path("1.png").read_bytes() != before


def test_output_is_a_file_for_one_photo_and_a_folder_for_several(photos: Path) -> None:
    assert pairs("a.png", "new.png") == [("a.png", "new.png")]
    assert pairs("a.png", output=Path("new.png")) == [("a.png", "new.png")]
    (photos / "out").mkdir()
    assert pairs("a.png", output=Path("out")) == [("a.png", "out/a.png")]
    assert pairs("a.png", "b.png", output=Path("new")) == [("a.png", "new/a.png"), ("b.png", "new/b.png")]
    assert pairs("[ab].png", output=Path("new")) == [("a.png", "new/a.png"), ("b.png", "new/b.png")]
    with pytest.raises(UsageError, match="must be a folder"):
        plan(("a.png", "b.png"), output=Path("c.png"))


def test_a_last_path_that_does_not_exist_is_an_error(photos: Path) -> None:
    with pytest.raises(UsageError, match="-o outdir"):
        plan(("a.png", "b.png", "outdir"))


def test_no_output_is_an_input_not_even_through_a_link(photos: Path) -> None:
    out = photos / "out"
    out.mkdir()
    (out / "a.png").symlink_to(photos / "b.png")
    os.link(photos / "c.png", out / "b.png")
    works, _ = plan(("a.png", "b.png", "c.png"), output=out)
    assert ["is the input" in (work.problem or "") for work in works] == [True, True, False]


def test_only_photos_that_share_an_output_fail(photos: Path) -> None:
    Path("a.tif").write_bytes(b"tif")
    works, _ = plan(("a.png", "a.tif", "b.png"), output=photos / "out", format="png")
    assert [work.problem is None for work in works] == [False, False, True]
    assert "-o FILE" in (works[0].problem or "")
    with pytest.raises(UsageError, match="named twice"):
        plan(("a.png", "a.png"), output=photos / "out")
    with pytest.raises(NoInputError):
        plan(("none.png",), output=photos / "out.png")


def test_names_that_differ_by_case_clash_where_the_folder_ignores_case(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "sub").mkdir()
    (photos / "sub" / "A.png").write_bytes(b"A")
    problems = []
    for ignores in (False, True):
        monkeypatch.setattr(module, "_ignores_case", lambda _, answer=ignores: answer)
        works, _ = plan(("a.png", "sub/A.png", "b.png"), output=photos / "out")
        problems.append([work.problem is not None for work in works])
    assert problems == [[False, False, False], [True, True, False]]


def test_a_slash_at_the_end_makes_a_new_folder_of_one_photo(weights: Weights, noisy_photos: Path) -> None:
    out, photo = noisy_photos / "out", noisy_photos / "0.png"
    assert run("denoise", photo, "-o", f"{out}/", "-m", weights())[0] == 0
    assert [path.name for path in out.iterdir()] == ["0.png"]
    code, said = run("denoise", photo, "-o", noisy_photos / "other", "-m", weights())
    assert (code, "other has no suffix" in said, "other/" in said) == (1, True, True)


def test_outputs_that_are_links_to_one_file_clash(photos: Path) -> None:
    out = photos / "out"
    out.mkdir()
    (out / "a.png").symlink_to("b.png")
    works, _ = plan(("a.png", "b.png", "c.png"), output=out)
    assert ["would both be written" in (work.problem or "") for work in works] == [True, True, False]


def test_names_that_macos_takes_for_one_clash_where_the_folder_ignores_case(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "sub").mkdir()
    for name in ("\u00e9.png", "sub/e\u0301.png"):
        Path(name).write_bytes(b"")
    monkeypatch.setattr(module, "_ignores_case", lambda _: True)
    works, _ = plan(("\u00e9.png", "sub/e\u0301.png", "b.png"), output=photos / "out")
    assert [work.problem is not None for work in works] == [True, True, False]


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and links")
def test_a_folder_or_a_pipe_is_never_replaced_by_a_result(weights: Weights, noisy_photos: Path) -> None:
    out = noisy_photos / "out"
    out.mkdir()
    (out / "0.png").mkdir()
    os.mkfifo(out / "1.png")
    os.mkfifo(out / "pipe")
    (out / "2.png").symlink_to("pipe")
    for if_exists in ("overwrite", "skip", "fail"):
        code, said = run("denoise", noisy_photos, out, "-m", weights(), "--if-exists", if_exists)
        assert (code, said.count("is a folder, which is never"), said.count("is a pipe or a device")) == (1, 1, 2)
    assert [(out / "0.png").is_dir(), (out / "1.png").is_fifo(), (out / "2.png").is_symlink()] == [True] * 3
    with pytest.raises(OutputError, match="pipe or a device"):
        write_atomically(b"", out / "2.png", overwrite=True)
