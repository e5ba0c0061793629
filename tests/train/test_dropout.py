"""Dropout with a mask of random bytes: how much it drops, and that seed, step, layer and sample alone decide what."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nin_onnx.train.dropout import SeededDropout

SHAPE = (8, 13, 17, 19)


def dropped(x: Tensor, rate: float, key: int = 5, first: int = 0, scaling: str = "training") -> Tensor:
    """`x` after training-time dropout."""
    dropout = SeededDropout(rate, scaling)
    dropout.key, dropout.first = key, first
    result: Tensor = dropout(x)
    return result


@pytest.mark.parametrize(("rate", "effective"), [(0.5, 128 / 256), (0.25, 64 / 256), (0.3, 77 / 256), (0.9, 230 / 256)])
def test_the_share_that_is_dropped_is_the_rate_to_a_256th(rate: float, effective: float) -> None:
    found = (dropped(torch.ones(64, 16, 16, 16), rate) == 0).double()
    assert abs(effective - rate) <= 1 / 512
    standard_error = (effective * (1 - effective) / found.numel()) ** 0.5
    assert abs(found.mean().item() - effective) < 4 * standard_error
    for axes in ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)):  # no image, channel, row or column is favored
        share = found.mean(axes)
        assert (share - effective).abs().max() < 5 * standard_error * len(share) ** 0.5


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.75])
def test_what_is_kept_is_scaled_up_so_that_the_mean_stays(rate: float) -> None:
    x = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = dropped(x, rate)
    torch.testing.assert_close(found[found != 0], (x / (1 - rate))[found != 0], rtol=1e-14, atol=0)


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_the_authors_dropout_leaves_what_is_kept_and_scales_all_down_at_test(rate: float) -> None:
    x = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = dropped(x, rate, scaling="test")
    assert torch.equal(found, torch.where(found != 0, x, 0))
    assert torch.equal(found == 0, dropped(x, rate) == 0)
    torch.testing.assert_close(SeededDropout(rate, "test").eval()(x), x * (1 - rate), rtol=1e-14, atol=0)


def test_neighbors_and_images_are_dropped_independently() -> None:
    mask = dropped(torch.ones(64, 16, 16, 16), 0.5) - 1  # -1 and 1
    for axis in range(4):
        for distance in (1, 2, 8):
            product = mask * mask.roll(distance, axis)
            assert abs(product.mean()) < 4 / product.numel() ** 0.5


@given(
    st.tuples(*[st.integers(1, 5)] * 4),
    st.sampled_from([0.1, 0.5, 0.9]),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
)
def test_the_mask_does_not_depend_on_memory_format_or_type(
    shape: tuple[int, int, int, int], rate: float, dtype: torch.dtype
) -> None:
    contiguous = torch.ones(shape)
    other = contiguous.to(dtype).contiguous(memory_format=torch.channels_last)
    assert torch.equal(dropped(contiguous, rate) == 0, dropped(other, rate) == 0)


@given(st.tuples(st.integers(2, 9), *[st.integers(1, 5)] * 3), st.data(), st.integers(0, 100))
def test_an_images_mask_does_not_depend_on_how_the_batch_is_divided(
    shape: tuple[int, int, int, int], data: st.DataObject, first: int
) -> None:
    x = torch.ones(shape)
    cut = data.draw(st.integers(1, shape[0] - 1))
    parts = [dropped(x[:cut], 0.5, first=first), dropped(x[cut:], 0.5, first=first + cut)]
    assert torch.equal(torch.cat(parts), dropped(x, 0.5, first=first))


def test_the_layout_in_memory_is_kept() -> None:
    x = torch.ones(SHAPE).contiguous(memory_format=torch.channels_last)
    assert dropped(x, 0.5).is_contiguous(memory_format=torch.channels_last)
    assert dropped(torch.ones(SHAPE), 0.5).is_contiguous()


def test_the_key_alone_decides_the_mask() -> None:
    x = torch.ones(SHAPE)
    one = dropped(x, 0.5, key=1)
    torch.manual_seed(5)
    assert torch.equal(dropped(x, 0.5, key=1), one)
    assert not torch.equal(dropped(x, 0.5, key=2), one)
    assert not torch.equal(dropped(x, 0.5, key=1, first=1), one)


def test_nothing_is_dropped_in_evaluation_or_at_rate_0() -> None:
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    assert torch.equal(SeededDropout(0.5).eval()(x), x)
    assert torch.equal(SeededDropout(0, "test").eval()(x), x)
    assert torch.equal(dropped(x, 0), x)


def test_a_rate_next_to_1_drops_all_but_a_256th() -> None:
    found = dropped(torch.ones(64, 16, 16, 16), 0.9999)
    assert set(found.unique().tolist()) == {0, 256}
    assert 0.8 / 256 < (found != 0).double().mean() < 1.2 / 256


def test_the_gradient_passes_where_the_activation_passed() -> None:
    x = torch.full(SHAPE, 3.0, requires_grad=True)
    found = dropped(x, 0.5)
    found.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, found.detach() / 3)
