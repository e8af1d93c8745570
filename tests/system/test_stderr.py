"""Lines of C libraries on standard error."""

import os
import re

import pytest

from nsp_cli.system.stderr import captured_stderr


def test_what_others_write_to_stderr_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr(re.compile("unknown file: ")) as errors:
        os.write(2, b"a line\nunknown file: data corrupted at 5\nand more")
    assert errors == ["data corrupted at 5"]
    assert capfd.readouterr().err == "a line\nand more"
