"""The choice of a runtime, as a table."""

from dataclasses import replace

import pytest

from nsp_cli.engine.backends.machine import Machine
from nsp_cli.engine.runtimes import Request, choose_runtime

MACHINE = Machine(gpu=False, bf16=False, fast_int8=False, openvino=True)


@pytest.mark.parametrize(
    ("asked", "has", "int8", "chosen"),
    [
        ({}, {}, True, "openvino auto"),
        ({}, {"fast_int8": True}, True, "openvino int8"),
        ({}, {"fast_int8": True}, False, "openvino auto"),
        ({"megapixels": 0.1}, {"fast_int8": True}, True, "onnx auto"),
        ({"precision": "int8"}, {"openvino": False}, True, "onnx int8"),
        ({"precision": "int8"}, {}, False, None),
        ({"precision": "bf16"}, {}, False, None),
        ({"precision": "fp16"}, {}, False, None),
        ({"megapixels": 3.9}, {"bf16": True, "openvino": False}, True, "onnx auto"),
        ({"megapixels": 4.0}, {"bf16": True, "openvino": False}, True, None),
        ({"device": "cuda"}, {"gpu": True, "fast_int8": True}, True, None),
        ({"device": "cpu"}, {"gpu": True, "fast_int8": True}, True, "openvino int8"),
        ({"backend": "onnx", "device": "cuda"}, {"gpu": True}, True, "onnx auto"),
    ],
)
def test_the_choice_of_a_runtime_is_a_table(asked: dict, has: dict, int8: bool, chosen: str | None) -> None:
    request = Request(**{"device": "auto", "precision": "auto", "backend": "auto", "megapixels": 24.0, **asked})
    found = choose_runtime(request, replace(MACHINE, **has), graph=True, int8=int8)
    assert (None if found is None else f"{found.runtime} {found.precision}") == chosen
