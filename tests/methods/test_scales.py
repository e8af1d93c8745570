"""The pipelines that the engine runs one after the other, for a network for two scales."""

from __future__ import annotations

from dataclasses import replace

from nsp_cli.methods.base import Pipeline, PlainPipeline
from nsp_cli.methods.scales import split_scales
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.spec import Task
from nsp_cli.networks import build_network
from nsp_cli.networks.twoscale import TwoScale
from tests.networks.test_twoscale import SMALL


def pipeline(ensemble: int = 1) -> Pipeline:
    network = build_network("twoscale", {**SMALL, "noise_level": True})
    return Simulated(ensemble=ensemble).pipeline(network, Task.DENOISE)


def test_each_part_has_a_halo_of_its_own() -> None:
    whole = pipeline()
    fine, half = split_scales(whole)
    assert isinstance(fine, PlainPipeline)
    assert isinstance(half, PlainPipeline)
    assert isinstance(whole, PlainPipeline)
    assert isinstance(whole.network, TwoScale)
    assert (fine.network, half.network) == (whole.network.fine, whole.network.coarse)
    assert (fine.spec.multiple, fine.spec.halo, fine.spec.planes, fine.spec.coarse_input) == (2, 10, 7, True)
    assert (half.spec.planes, half.spec.coarse_input) == (4, False)
    assert whole.spec.halo >= fine.spec.halo - 1 + 2 * whole.network.coarse.receptive_field_radius
    assert half.spec.halo >= whole.network.coarse.receptive_field_radius


def test_a_halo_that_was_measured_is_that_at_half_size() -> None:
    whole = pipeline()
    whole.spec = replace(whole.spec, halo=32)
    fine, half = split_scales(whole)
    assert half is not None
    assert (fine.spec.halo, half.spec.halo) == (10, 8)


def test_the_coarse_chroma_is_that_of_the_photo_at_full_size() -> None:
    whole = pipeline()
    whole.spec = whole.spec.with_coarse_chroma()
    fine, half = split_scales(whole)
    assert half is not None
    assert (fine.spec.coarse_chroma, half.spec.coarse_chroma, fine.spec.halo) == (True, False, 12)


def test_other_pipelines_stay_as_they_are() -> None:
    averaged = pipeline(ensemble=2)
    single = Simulated().pipeline(build_network("resunet", {"widths": (8, 8), "depths": (1, 1)}), Task.DENOISE)
    for whole in (averaged, single):
        assert split_scales(whole) == (whole, None)
