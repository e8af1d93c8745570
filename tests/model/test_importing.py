"""Published checkpoints: each layout as a state dict of our own network with other names, and hostile files."""

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.methods import METHODS, build_method
from nsp_cli.model.checkpoint import load_model
from nsp_cli.model.importing import read_checkpoint
from nsp_cli.model.published_layouts import find_layouts
from nsp_cli.networks import build_network
from nsp_cli.training import PRESETS
from tests.cli.test_commands import run

DBSN = {"width": 8, "depth": 2, "residual": False}
CASES: dict[str, tuple[str, dict[str, Any], str | None, str]] = {
    "NSP, t = 1": ("dbsn", {**DBSN, "scale": 1}, None, "nsp"),
    "NSP, t = 2": ("dbsn", {**DBSN, "scale": 2}, None, "nsp"),
    "NSP, t = 4": ("dbsn", {**DBSN, "width": 16, "scale": 4}, None, "nsp"),
    "AP-BSN": ("dbsn", {**DBSN, "scale": 1, "variant": "apbsn"}, "apbsn", "apbsn"),
    "SDAP": ("dbsn", {**DBSN, "scale": 1, "variant": "apbsn"}, "sdap", "sdap"),
    "SDAP(E)": ("dbsn", {**DBSN, "scale": 1, "variant": "apbsn"}, "sdap-e", "sdap"),
    "APR": ("atbsn", {"width": 6, "levels": 2, "scale": 1, "blind_spot_size": 5}, None, "apr"),
    "RD student": ("unet", {"width": 6, "levels": 3, "output_slope": 0.1}, None, "rd"),
    "AMSNet": ("n2nunet", {"width": 6, "levels": 3, "top_width": 5}, None, "amsnet"),
    "TM-BSN student": ("unet", {"width": 6, "levels": 3, "intro": False, "skips": "features"}, None, "rd"),
}
WHITE = {"AP-BSN": 255}
"""Values of white in the training of releases, where it is not 1."""


def lively(name: str, arguments: dict[str, Any]) -> nn.Module:
    """A network whose every weight is random, biases too."""
    torch.manual_seed(0)
    network = build_network(name, arguments)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.15)
    return network.eval()


def published(network: nn.Module, prefix: str = "module.net.") -> dict[str, Tensor]:
    """The weights under other names, with a mask and a counter between them, as releases have them."""
    state = {f"{prefix}block_{i}.{n.rsplit('.', 1)[1]}": w for i, (n, w) in enumerate(network.state_dict().items())}
    first, *_ = state
    state = {first: state[first], f"{prefix}conv.mask": torch.ones(1, 1, 3, 3), **state}
    state[f"{prefix}step"] = torch.tensor(3)
    return state


def save(value: object, path: Path) -> Path:
    torch.save(value, path)
    return path


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("wrapper", ["bare", "model_state_dict", "model_weight.denoiser", "params"])
def test_every_layout_gives_the_same_answer(case: str, wrapper: str, tmp_path: Path) -> None:
    name, arguments, asked, method = CASES[case]
    network = lively(name, arguments)
    value: Any = published(network)
    for key in reversed(wrapper.split(".") if wrapper != "bare" else []):
        value = {"epoch": 3, key: value}
    imported, spec, layout = read_checkpoint(save(value, tmp_path / "w.pth"), asked)
    assert (spec.method, spec.network) == (method, name)
    assert spec.method in METHODS
    assert layout.value_range == (white := WHITE.get(case, 1))
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(imported(photo), network(white * photo) / white, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "module.", "bsn.", "module.bsn.", "nbsn.", "unet.", "network.dn.branches.0."])
def test_any_prefix_is_dropped(prefix: str, tmp_path: Path) -> None:
    network = lively(*CASES["RD student"][:2])
    imported, spec, _ = read_checkpoint(save(published(network, prefix), tmp_path / "w.pth"))
    assert spec.method == "rd"
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(imported(photo), network(photo), atol=1e-5)


@pytest.mark.slow
def test_a_file_may_hold_several_networks(tmp_path: Path) -> None:
    """A teacher and its student, each under its prefix."""
    teacher, student = (lively(*CASES[case][:2]) for case in ("APR", "RD student"))
    both = {**published(teacher, "net.bsn."), **published(student, "net.nbsn."), "loss": torch.zeros(())}
    path = save({"state_dict": both, "best": torch.tensor(37.1)}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="fits at-bsn and rd; choose one"):
        read_checkpoint(path)
    photo = torch.rand(1, 3, 32, 32)
    for asked, network in (("at-bsn", teacher), ("rd", student)):
        with torch.no_grad():
            assert torch.allclose(read_checkpoint(path, asked)[0](photo), network(photo), atol=1e-5)


def test_layers_of_amsnet_may_be_in_another_order(tmp_path: Path) -> None:
    """All transposed convolutions first, then what precedes them: layers of one shape stay in their order."""
    network = lively(*CASES["AMSNet"][:2])
    up = {name: w for name, w in network.state_dict().items() if name.startswith("up.")}
    transposed = {name: w for name, w in up.items() if name.split(".")[2:] in (["0", "weight"], ["0", "bias"])}
    assert [w.shape[-1] for w in transposed.values() if w.dim() == 4] == [2, 2, 2]
    first, second, *others = network.state_dict()
    names = [first, second, *transposed, *(name for name in others if name not in transposed)]
    state = {f"net.{i}": network.state_dict()[name] for i, name in enumerate(names)}
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(read_checkpoint(save(state, tmp_path / "w.pth"))[0](photo), network(photo), atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_value_range_is_folded_into_the_first_and_last_layers(case: str, tmp_path: Path) -> None:
    """The same weights, taken as trained on 0 … 255, give f(255·x) / 255."""
    name, arguments, asked, _ = CASES[case]
    network = lively(name, arguments)
    imported, _, _ = read_checkpoint(save(published(network), tmp_path / "w.pth"), asked, value_range=255)
    photo = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = network(255 * photo) / 255
        assert torch.allclose(imported(photo), expected, atol=1e-5 * float(expected.abs().max()))


TBSN = {"dim": 8, "blocks": (1, 2, 1), "refinement": 1, "statistics": "photo"}


def published_tbsn(network: nn.Module, channel_parts: int, window_parts: int) -> dict[str, Tensor]:
    """The weights with q, k and v in as many tensors, positions as two tables counted from the window of keys."""
    state: dict[str, Tensor] = {"masked.mask": torch.ones(1)}

    def add(name: str, *tensors: Tensor) -> None:
        state.update({f"{name}.{i}.weight": tensor for i, tensor in enumerate(tensors)})

    weights = network.state_dict()
    for name, weight in weights.items():
        if ".qkv." in name:
            add(name, *weight.chunk(channel_parts))
        elif name.endswith("positions"):
            add(name, *weight.roll(2, 1))
        elif name.endswith("query.weight"):
            q, (k, v) = weight, weights[name.replace("query", "key_value")].chunk(2)
            add(name, *{1: [torch.cat([q, k, v])], 2: [q, torch.cat([k, v])], 3: [q, k, v]}[window_parts])
        elif not name.endswith("key_value.weight"):
            add(name, weight)
    return state


@pytest.mark.parametrize("window_parts", [1, 2, 3])
@pytest.mark.parametrize("channel_parts", [1, 3])
@pytest.mark.slow
def test_tbsn_gives_the_same_answer(channel_parts: int, window_parts: int, tmp_path: Path) -> None:
    """It was trained on 0 to 255."""
    network = lively("tbsn", {**TBSN, "scale": 1, "tail": "plain"})
    path = save({"state_dict": published_tbsn(network, channel_parts, window_parts)}, tmp_path / "w.pth")
    imported, spec, layout = read_checkpoint(path)
    assert (spec.method, layout.title) == ("apbsn", "TBSN")
    photo = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        expected = network(255 * photo) / 255
        assert torch.allclose(imported(photo), expected, atol=1e-5 * max(1, float(expected.abs().max())))


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.slow
def test_nsp_on_tbsn_is_taken_as_trained_on_0_to_255(scale: int, tmp_path: Path) -> None:
    network = lively("tbsn", {**TBSN, "scale": scale})
    imported, spec, _ = read_checkpoint(save(published_tbsn(network, 1, 1), tmp_path / "w.pth"))
    assert (spec.method, spec.network_args["statistics"], spec.network_args["scale"]) == ("nsp", "photo", scale)
    photo = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        expected = network(255 * photo) / 255
        assert torch.allclose(imported(photo), expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.slow
def test_tbsn_of_the_published_size_is_recognised() -> None:
    with torch.device("meta"):
        network = build_network("tbsn", {"statistics": "photo"})
    _, *tensors = published_tbsn(network, 1, 1).values()
    [(layout, weights)] = find_layouts(tensors)
    assert sum(weight.numel() for weight in weights.values()) == 12_766_148
    assert (layout.network_args["blocks"], layout.network_args["refinement"]) == ((4, 4, 4), 4)


@pytest.mark.parametrize("case", ["APR", "AP-BSN"])
def test_imported_weights_run_at_test_time_as_released(case: str, tmp_path: Path) -> None:
    """With the settings of the `paper` preset, but for those of training."""
    name, arguments, asked, method = CASES[case]
    spec = read_checkpoint(save(published(lively(name, arguments)), tmp_path / "w.pth"), asked)[1]
    paper = build_method(method, PRESETS[method]["paper"].method_args)
    imported = build_method(spec.method, spec.method_args)
    train_only = {"train_layout": "mosaic", "inputs": 0} if method == "apbsn" else {}
    k = {"test_shift": 2} if method == "apr" else {}  # AT-BSN's; APR's paper has 1 (--blind)
    assert replace(imported, **train_only) == replace(paper, **k)  # pyright: ignore


def test_tbsn_runs_at_test_time_as_released(tmp_path: Path) -> None:
    network = lively("tbsn", {**TBSN, "scale": 1, "tail": "plain"})
    spec = read_checkpoint(save(published_tbsn(network, 1, 1), tmp_path / "w.pth"))[1]
    paper = build_method("apbsn", PRESETS["apbsn"]["paper-tbsn"].method_args)
    assert replace(build_method(spec.method, spec.method_args), inputs=1) == paper  # pyright: ignore


def test_apr_and_at_bsn_differ_in_the_blind_spot_of_test_time(tmp_path: Path) -> None:
    path = save(published(lively(*CASES["APR"][:2])), tmp_path / "w.pth")
    shifts = {asked: read_checkpoint(path, asked)[1].method_args["test_shift"] for asked in (None, "at-bsn", "apr")}
    assert shifts == {None: 2, "at-bsn": 2, "apr": PRESETS["apr"]["paper"].method_args["test_shift"]}
    assert shifts["apr"] == 1


def test_shapes_that_fit_several_methods_need_one_named(tmp_path: Path) -> None:
    path = save(published(lively(*CASES["SDAP"][:2])), tmp_path / "w.pth")
    with pytest.raises(UsageError, match="apbsn, sdap and sdap-e; choose one as `method`"):
        read_checkpoint(path)
    assert [dict(read_checkpoint(path, name)[1].method_args) for name in ("sdap", "sdap-e")] == [
        {},
        {"second_pass": True},
    ]
    with pytest.raises(UsageError, match="not the method 'nsp'"):
        read_checkpoint(path, "nsp")
    with pytest.raises(UsageError, match="value_range"):
        read_checkpoint(path, "sdap", value_range=0)


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (("dbsn", {"width": 128, "depth": 9, "scale": 2, "residual": False}), 3_750_723),
        (("dbsn", {"width": 128, "depth": 9, "scale": 1, "residual": False, "variant": "apbsn"}), 3_656_131),
        (("atbsn", {"width": 48, "levels": 5, "scale": 1, "blind_spot_size": 5}), 1_268_547),
        (("unet", {"width": 48, "levels": 5}), 1_003_011),
        (("n2nunet", {}), 7_935_555),
        (("unet", {"width": 48, "levels": 5, "intro": False, "skips": "features"}), 1_021_107),
    ],
)
def test_the_published_sizes_are_recognised(network: tuple[str, dict[str, Any]], count: int, tmp_path: Path) -> None:
    built = build_network(*network)
    assert sum(weight.numel() for weight in built.parameters()) == count
    asked = "apbsn" if network[1].get("variant") else None
    imported, _, _ = read_checkpoint(save(built.state_dict(), tmp_path / "w.pth"), asked)
    assert sum(weight.numel() for weight in imported.parameters()) == count


def test_the_state_of_a_numpy_generator_beside_the_weights_is_harmless(tmp_path: Path) -> None:
    network = lively(*CASES["NSP, t = 2"][:2])
    state = {"model_state_dict": network.state_dict(), "rng": np.random.RandomState(0).get_state()}
    path = save(state, tmp_path / "w.pth")
    assert read_checkpoint(path)[1].method == "nsp"
    # NumPy 1 and 2 have other names for one of the four globals.
    renamed, swapped = tmp_path / "renamed.pth", (b"numpy._core.multiarray", b"numpy.core.multiarray")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(renamed, "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            found, other = swapped if swapped[0] in data else swapped[::-1]
            new.writestr(entry, data.replace(found, other) if entry.endswith("/data.pkl") else data)
            assert not entry.endswith("/data.pkl") or found in data
    assert read_checkpoint(renamed)[1].method == "nsp"


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return print, ("code from a checkpoint",)


class Claims:
    """Is unpickled by a call that torch.load allows."""

    def __init__(self, call: Callable[..., Any], *arguments: object) -> None:
        self.called = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.called


def hostile(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    network = lively(*CASES["RD student"][:2])
    state = network.state_dict()
    first = next(iter(state))
    endless: dict[str, Any] = {}
    endless["model"] = endless
    cases = {
        "code": ({**state, "x": Evil()}, "could run code"),
        "NaN": ({**state, first: torch.full_like(state[first], torch.nan)}, "not finite"),
        "a shape": ({**state, first: torch.zeros(6, 4, 3, 3)}, "known are"),
        "a missing key": ({k: v for k, v in state.items() if k != first}, "known are"),
        "a huge tensor": ({first: torch.zeros(1).expand(10**6, 10**6)}, "known are"),
        "too large for float32 after folding": ({**state, first: torch.full_like(state[first], 3e38)}, "not finite"),
        "sparse tensors": ({key: weight.to_sparse() for key, weight in state.items()}, "holds no weights"),
        "tensors without values": ({key: weight.to("meta") for key, weight in state.items()}, "holds no weights"),
        "itself": (endless, "holds no weights"),
        "10 GB of zeros": ({**state, "x": Claims(bytearray, 10**10)}, "holds Python objects"),
        "no tensor": ({"epoch": 3}, "holds no weights"),
        "a list": ([1, 2], "holds no weights"),
    }
    files = {key: (save(value, tmp_path / f"{i}.pth"), said) for i, (key, (value, said)) in enumerate(cases.items())}
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps(Evil()))
    files["a bare pickle"] = (tmp_path / "pickle.pth", "is not a checkpoint")
    whole = (tmp_path / "0.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(tmp_path / "1.pth") as old, zipfile.ZipFile(tmp_path / "short.pth", "w") as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry)[: 4 if entry.endswith("/data/0") else None])
    files["a tensor that claims more than there is"] = (tmp_path / "short.pth", "damaged")
    files["half a file"] = (tmp_path / "cut.pth", "is not a checkpoint")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("hello.txt", "hello")
    files["another archive"] = (tmp_path / "other.pth", "damaged")
    files["nothing"] = (tmp_path / "none.pth", "No such file")
    return files


@pytest.mark.slow
def test_hostile_files_are_refused_in_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path, said in hostile(tmp_path).values():
        with pytest.raises(ModelError, match=said):
            read_checkpoint(path, value_range=255)
    assert "code from a checkpoint" not in capfd.readouterr().out


def test_arrays_beside_the_weights_are_never_made(tmp_path: Path) -> None:
    """Neither NumPy's memory for 10 TB, nor a failure of it."""
    state = lively(*CASES["RD student"][:2]).state_dict()
    reconstruct = np.zeros(1).__reduce__()[0]
    for claim in (Claims(np.ndarray, (10**12,)), Claims(reconstruct, np.ndarray, (10**13,), b"b")):
        path = save({"state_dict": state, "x": claim}, tmp_path / "w.pth")
        assert read_checkpoint(path)[1].method == "rd"


@pytest.mark.slow
def test_a_file_that_claims_more_than_any_checkpoint_has_is_not_loaded(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("data", "w") as file,
    ):
        for _ in range(2100):
            file.write(bytes(10**6))
    with pytest.raises(ModelError, match=r"claims 2\.1 GB"):
        read_checkpoint(tmp_path / "bomb.pth")


def test_the_command_writes_a_model_that_others_take(tmp_path: Path, noisy_photos: Path) -> None:
    network = lively(*CASES["RD student"][:2])
    source, target = save(published(network), tmp_path / "student.pth"), tmp_path / "student.safetensors"
    code, said = run("import", source, target)
    assert (code, "RD student" in said) == (0, True)
    assert load_model(target)[1].training["imported from"] == "student.pth"
    assert run("denoise", noisy_photos / "0.png", "-o", tmp_path / "out.png", "-m", target)[0] == 0
    assert run("import", source, target)[0] == 2
    assert run("import", source, target, "--overwrite")[0] == 0
    assert run("import", source, tmp_path / "x.pth")[0] == 2
    assert run("import", tmp_path / "none.pth", tmp_path / "x.safetensors")[0] == 4
    assert not (tmp_path / "x.safetensors").exists()
