"""How processes that torchrun started divide the work."""

import pytest
import torch

from nsp_cli.cli.batch.team import Team, join, own_device


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_every_photo_is_done_once(world: int) -> None:
    photos = list(range(5))
    parts = [list(Team(rank, world).share(photos)) for rank in range(world)]
    assert sorted(photo for part in parts for photo in part) == photos
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_nothing_is_asked() -> None:
    with join() as team:
        assert (team.leads, team.gather("mine")) == (True, ["mine"])
    assert own_device("auto") == "auto"


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
    assert own_device(device) == chosen
