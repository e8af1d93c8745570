"""How processes that torchrun started divide the work."""

import pytest
import torch

from nsp_cli.engine import loading
from nsp_cli.system.processes import ProcessInfo, process_group


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_every_photo_is_done_once(world: int) -> None:
    photos = list(range(5))
    parts = [list(ProcessInfo(rank, 0, world).shard(photos)) for rank in range(world)]
    assert sorted(photo for part in parts for photo in part) == photos
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_process_alone_gathers_its_own_value() -> None:
    with process_group() as process:
        assert (process.is_main_process, process.gather("mine")) == (True, ["mine"])
    assert loading._device_of_process("auto", None) == "auto"


@pytest.mark.parametrize(
    ("device", "devices", "chosen"),
    [("auto", 4, "cuda:1"), ("cuda", 2, "cuda:1"), ("cuda", 1, "cuda:0"), ("auto", 0, "auto"), ("cpu", 4, "cpu")],
)
def test_each_process_has_a_device_of_its_own(
    monkeypatch: pytest.MonkeyPatch, device: str, devices: int, chosen: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    assert loading._device_of_process(device, None) == chosen
