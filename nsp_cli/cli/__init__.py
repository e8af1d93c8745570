"""The command line: parse, call the API, show progress, turn errors into exit codes."""

from __future__ import annotations

import os
import sys
import traceback
import warnings


def main() -> None:
    """Run `nsp` and exit: 0 done, 1 some files failed, 2 usage, 3 no input, 4 not available, 130 stopped."""
    from nsp_cli.cli.app import app
    from nsp_cli.cli.console import complain, warn
    from nsp_cli.errors import NspError

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
    except BrokenPipeError:  # `nsp … | head`: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
