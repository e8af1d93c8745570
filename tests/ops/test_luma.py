"""Luma and chroma of tensors agree with those of arrays."""

import torch
from torch import Generator

from nsp_cli.image.luma import luma as luma_of_array
from nsp_cli.ops.luma import chroma, luma


def test_luma_is_that_of_the_same_array() -> None:
    photo = torch.rand(2, 3, 5, 7, generator=Generator().manual_seed(0))
    expected = torch.from_numpy(luma_of_array(photo.permute(0, 2, 3, 1).numpy()))
    torch.testing.assert_close(luma(photo)[:, 0], expected)


def test_chroma_has_no_luma_and_grey_has_no_chroma() -> None:
    photo = torch.rand(1, 3, 6, 6, generator=Generator().manual_seed(1))
    torch.testing.assert_close(luma(chroma(photo)), torch.zeros(1, 1, 6, 6), atol=1e-6, rtol=0)
    torch.testing.assert_close(photo - chroma(photo), luma(photo).expand_as(photo))
    grey = torch.full((1, 3, 4, 4), 0.7)
    torch.testing.assert_close(chroma(grey), torch.zeros_like(grey), atol=1e-6, rtol=0)
