"""The command line: parse, call the API, show progress, turn errors into exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings


def edit() -> None:
    """Run `nsp denoise --in-place` on the arguments: `nsp-edit FILE`, for programs that pass no flags."""
    sys.argv[1:] = ["denoise", "--in-place", *sys.argv[1:]]
    main()


def main() -> None:
    """Run `nsp` and exit: 0 done, 1 some files failed, 2 usage, 3 no input, 4 not available, 130 stopped."""
    _import_numpy()
    from nsp_cli.cli.app import app
    from nsp_cli.cli.console import complain, drop_stdout, warn
    from nsp_cli.errors import NspError
    from nsp_cli.system.files import sentence

    warnings.showwarning = lambda message, *_: warn(str(message))
    try:
        app(prog_name="nsp")
    except NspError as error:
        if "--verbose" in sys.argv:
            traceback.print_exc()
        complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        complain("Interrupted; every file that was written is whole.")
        sys.exit(130)
    except BrokenPipeError:  # stdout was closed, as in `nsp … | head`
        drop_stdout()
        sys.exit(1)
    except OSError as error:  # a path that the system refuses, or a full disk under stdout
        if "--verbose" in sys.argv:
            traceback.print_exc()
        drop_stdout()
        complain(sentence(error) if error.filename is not None else f"The output cannot be written: {sentence(error)}")
        sys.exit(1)


def _import_numpy() -> None:
    """Import NumPy with one thread for its matrices: starting more takes a tenth of a second of CPU.

    The engine has threads of its own, which convert parts of a photo at the same time.
    """
    setting = "OPENBLAS_NUM_THREADS"
    if setting in os.environ:
        return
    os.environ[setting] = "1"
    importlib.import_module("numpy")
    del os.environ[setting]  # PyTorch may have an OpenBLAS of its own
