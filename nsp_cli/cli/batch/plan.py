"""Pair the photos of the command line (files, folders, patterns) with outputs. Reads folders, never photos."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nsp_cli.cli.batch.batch_options import BatchOptions
from nsp_cli.cli.batch.destination import Destination
from nsp_cli.cli.batch.outcome import unread_sentence
from nsp_cli.cli.batch.work import Work, with_problems
from nsp_cli.cli.console import warn
from nsp_cli.errors import NoInputError, UsageError
from nsp_cli.image import WRITABLE, is_photo, unread_format
from nsp_cli.system import files


def plan(
    paths: Sequence[str],
    *,
    output: str | Path | None = None,
    format: str | None = None,
    batch: BatchOptions = BatchOptions(),  # noqa: B008 (frozen)
) -> tuple[list[Work], bool]:
    """Pair every photo with its output; also return whether this is a batch (and not one file).

    With `output` all paths are photos, and it is a file for one photo, else (or with a slash at its end) a folder.
    Without it, one path: the result goes beside it. Two: IN OUT. More: the last one is OUT if it is a folder, or is
    written with a slash at its end; else all are photos. A photo may also be a pattern such as ``card/*.jpg``, for
    shells that do not expand it.

    A photo whose output is an input too, or the output of another photo, has a `problem` and is not worked on.

    Raises
    ------
    UsageError
        A folder without a folder to write to, an unknown format, or two paths that may both be photos.
    NoInputError
        There is nothing to read.
    """
    _check_format(format)
    if "" in paths:
        raise UsageError("A path is empty; a variable of the shell may have no value.")
    sources, out = _split(paths, None if output is None else str(output), format)
    works = [work for source in sources for work in _works(source, out, batch)]
    unread = count_unread(work.source for work in works)
    if unread.total() == len(works) > 1:
        raise NoInputError(unread_sentence(unread))
    if all(work.problem for work in works):
        raise NoInputError(works[0].problem or "")
    if out.path is None and (results := results_among([work.source for work in works])):
        warn(f"{len(results)} results of an earlier run (_nsp) are left out.")
        works = [work for work in works if work.source not in results]
    works = with_problems(works)
    return works, len(works) > 1 or any(files.is_folder(s) or _is_pattern(s) for s in sources)


def plan_folder(folder: Path, out: Path, *, format: str | None, batch: BatchOptions) -> list[Work]:
    """Pair the photos of a folder, which may have none yet, with their outputs.

    Raises
    ------
    UsageError
        `out` is the folder itself or a file, or the format is not known.
    """
    _check_format(format)
    try:
        return with_problems(_folder(folder, Destination(out, True, format), batch))
    except NoInputError:
        return []


def _check_format(format: str | None) -> None:
    if format is not None and f".{format}" not in WRITABLE:
        raise UsageError(f"--format must be one of {', '.join(sorted({*WRITABLE.values()}))}, got '{format}'.")


def missing(path: str | Path) -> str:
    """Return the sentence for a path at which there is nothing."""
    return f"There is no photo and no folder {path}."


def list_photos(paths: Sequence[Path]) -> tuple[list[Path], Counter[str]]:
    """List photos and the photos of folders, for commands that write nothing beside them.

    Also count the pictures in formats that are not read, by format. Raises `NoInputError`.
    """
    found: list[Path] = []
    for path in paths:
        if files.is_folder(path):
            found += sorted(p for p in path.iterdir() if not files.is_folder(p) and (is_photo(p) or unread_format(p)))
        elif files.exists(path):
            found.append(path)
        else:
            raise NoInputError(missing(path))
    unread = count_unread(found)
    photos = [path for path in found if unread_format(path) is None]
    if not photos:
        raise NoInputError(unread_sentence(unread) if unread else f"{paths[0]} holds no photo.")
    return photos, unread


def count_unread(paths: Iterable[Path]) -> Counter[str]:
    """Count the pictures in formats that are not read, by format."""
    return Counter(name for path in paths if (name := unread_format(path)))


def _split(paths: Sequence[str], output: str | None, format: str | None) -> tuple[list[str], Destination]:
    """Split the arguments into inputs and output. Raises `UsageError`."""
    if output is not None:
        many = len(paths) > 1 or files.is_folder(paths[0]) or _is_pattern(paths[0])
        if many and files.is_file(output):
            raise UsageError(f"--output must be a folder for several photos, and {output} is a file.")
        is_folder = many or files.is_folder(output) or output.endswith(("/", os.sep))
        return list(paths), Destination(Path(output), is_folder, format)
    *sources, last = paths
    is_folder = last.endswith(("/", os.sep)) or files.is_folder(last)
    if len(sources) > 1 and not is_folder and not os.path.lexists(last) and not _is_pattern(last):
        raise UsageError(f"{missing(last)[:-1]}; to write into a new folder, use -o {last}.")
    if not sources or (len(sources) > 1 and not is_folder):
        return list(paths), Destination(None, is_folder, format)
    out = Path(last)
    if not is_folder and is_photo(out) and files.is_file(out) and not files.is_folder(sources[0]):
        raise UsageError(
            f"{last} exists, and may be a second photo or the output: for two photos use "
            f"-o FOLDER, to replace it use -o {last} --if-exists overwrite."
        )
    is_folder = is_folder or (_is_pattern(sources[0]) and out.suffix.lower() not in WRITABLE)
    return sources, Destination(out, is_folder, format)


def _works(text: str, out: Destination, batch: BatchOptions) -> list[Work]:
    """Plan the photos of one argument: a file, a folder or a pattern."""
    source = Path(text)
    if files.is_folder(source):
        return _folder(source, out, batch)
    if _is_pattern(text):
        return _pattern(text, out, batch)
    target = out.for_photo(source, Path(source.name))
    if not os.path.lexists(source):
        return [Work(source, target, missing(source))]
    return [_work(source, target)]


def _work(source: Path, target: Path) -> Work:
    """Pair a photo with its output; a picture whose format is not read has a `problem`."""
    name = unread_format(source)
    if name is None:
        return Work(source, target)
    install = "install pi-heif with pip install pi-heif, or " if name == "HEIC" else ""
    return Work(source, source, f"{source}: {name} is not read; {install}export it as TIFF or JPEG first.", name)


def _is_pattern(text: str) -> bool:
    """Test whether a text is a glob pattern; the name of an existing file is not, even with a star in it."""
    return glob.has_magic(text) and not os.path.lexists(text)


def _pattern(text: str, out: Destination, batch: BatchOptions) -> list[Work]:
    """Plan the photos that match a glob pattern, sorted by name; sub-folders below its fixed part are kept."""
    parts = Path(text).parts
    fixed = Path(*parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
    found = [Path(name) for name in sorted(glob.iglob(text, recursive=True))]  # noqa: PTH207 - as a shell does it
    pictures = [p for p in found if (is_photo(p) or unread_format(p)) and not files.is_folder(p)]
    photos = [p for p in pictures if batch.selects(p.relative_to(fixed))]
    if out.path is not None and out.is_folder:
        photos = [photo for photo in photos if out.path.resolve() not in photo.resolve().parents]
    if not photos:
        raise NoInputError(f"No photo matches {text}.")
    return [_work(photo, out.for_photo(photo, photo.relative_to(fixed))) for photo in photos]


def _folder(source: Path, out: Destination, batch: BatchOptions) -> list[Work]:
    """Plan the photos of a folder. Raises `UsageError` where `out` is not a folder, `NoInputError` without a photo."""
    if out.path is None or files.is_file(out.path):
        raise UsageError(f"{source} is a folder: name the folder to write to, as in `nsp denoise {source} denoised/`.")
    folder, out = out.path, replace(out, is_folder=True)
    inside, results = source.resolve(), folder.resolve()
    if inside == results:
        raise UsageError(f"{folder} is the folder that is read; nsp never writes over its input.")
    problems: list[Work] = []

    def unreadable(error: OSError) -> None:
        path = Path(error.filename)
        problems.append(Work(path, path, f"The folder {path} cannot be read: {error.strerror}"))

    # A second run must not take the first run's results, where they lie inside the folder, for photos.
    nested = results if inside in results.parents else None
    pictures = _walk(source, batch.recursive, nested, unreadable)
    photos = sorted(path for path in pictures if is_photo(path) or unread_format(path))
    works = [
        _work(path, out.for_photo(path, path.relative_to(source)))
        for path in photos
        if batch.selects(path.relative_to(source))
    ]
    if not works and not problems:
        which = " that --include and --exclude leave" if photos else ""
        hint = "" if batch.recursive or photos else "; -r looks into its sub-folders"
        raise NoInputError(f"{source} holds no photo{which}{hint}.")
    return works + problems


def _walk(source: Path, recursive: bool, without: Path | None, unreadable: object) -> Iterator[Path]:
    """Yield everything but folders, also links that lead nowhere; links to folders are not followed, so no loops."""
    for folder, folders, names in os.walk(source, onerror=unreadable):  # pyright: ignore[reportArgumentType]
        here = Path(folder)
        folders[:] = [] if not recursive else [f for f in folders if without is None or (here / f).resolve() != without]
        yield from (here / name for name in names)


def results_among(paths: Collection[Path]) -> set[Path]:
    """Return what an earlier run wrote beside its photos: `nsp denoise *.jpg` names it too when it is run again."""
    stems = {(path.parent, path.stem) for path in paths}

    def is_result(path: Path) -> bool:
        found = re.fullmatch(r"(.+)_nsp(?:_\d+)?", path.stem)
        return found is not None and (path.parent, found[1]) in stems

    return set(filter(is_result, paths))
