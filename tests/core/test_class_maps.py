"""Class maps over an image: what is shown of them, and where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nin_onnx.class_maps import COLOR, GAP, draw, strongest
from nin_onnx.classifier import Prediction
from nin_onnx.errors import ModelError


def test_the_top_tenth_of_each_map_is_kept_and_the_largest_of_all_is_1() -> None:
    maps = np.stack([np.arange(100.0).reshape(10, 10), np.arange(200.0, 100.0, -1).reshape(10, 10)])
    kept = strongest(maps)
    assert kept[0, :9].max() == 0
    np.testing.assert_allclose(kept[0, 9], np.arange(90, 100) / 200)
    np.testing.assert_allclose(kept[1, 0], np.arange(200, 190, -1) / 200)
    assert kept[1, 1:].max() == 0


@given(arrays(np.float32, (3, 7, 7), elements=st.floats(-100, 100, width=32)))
def test_no_more_than_a_tenth_is_shown_and_nothing_that_is_not_positive(maps: np.ndarray) -> None:
    kept = strongest(maps)
    assert kept.shape == maps.shape
    assert kept.min() >= 0
    assert kept.max() == (1 if maps.max() > 0 else 0)
    assert ((kept > 0).sum((1, 2)) <= 5).all()  # of 49
    assert not (kept[maps <= 0]).any()


def prediction(maps: np.ndarray | None, *probabilities: float) -> Prediction:
    labels = tuple(f"class {number}" for number in range(len(probabilities)))
    return Prediction(labels, np.array(probabilities, np.float32), maps)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_panel_for_each_of_the_most_probable_is_colored_where_its_map_is_strong(channels: int) -> None:
    maps = np.zeros((3, 4, 4), np.float32)
    maps[2, 0, 0] = maps[2, 0, 1] = 5  # the most probable: top left
    maps[0, 3, 3] = 5
    pixels = np.full((40, 40, channels), 100, np.uint8)
    sheet = np.asarray(draw(pixels, prediction(maps, 0.3, 0.1, 0.6), 2))
    side = 160  # 40 pixels, four times
    assert sheet.shape[1] == GAP + 3 * (side + GAP)
    panels = [sheet[GAP : GAP + side, GAP + at * (side + GAP) :][:, :side] for at in range(3)]
    assert (panels[0] == 100).all()
    for panel, (strong, weak) in zip(panels[1:], [((20, 40), (150, 150)), ((150, 150), (20, 40))], strict=True):
        red, _, blue = panel[strong].tolist()
        assert red > 190
        assert blue < 60
        assert panel[weak].tolist() == [100, 100, 100]
    framed = sheet[GAP - 2, GAP + side + GAP + 10]
    assert tuple(framed) == COLOR
    assert tuple(sheet[GAP - 2, GAP + 2 * (side + GAP) + 10]) == (255, 255, 255)


def test_an_image_that_no_class_was_seen_in_stays_gray() -> None:
    sheet = np.asarray(draw(np.full((128, 128, 3), 77, np.uint8), prediction(-np.ones((2, 4, 4), np.float32), 0.5, 0.5)))
    assert (sheet[GAP : GAP + 128, GAP + 136 : GAP + 136 + 128] == 77).all()


@pytest.mark.parametrize("label", ["x" * 200, "Σ ü 猫", ""])
def test_any_label_can_stand_below(label: str) -> None:
    one = Prediction((label,), np.ones(1, np.float32), np.ones((1, 2, 2), np.float32))
    assert draw(np.zeros((8, 8, 1), np.uint8), one).size[0] == GAP + 2 * (128 + GAP)


def test_a_model_without_maps_is_an_error_that_says_why() -> None:
    with pytest.raises(ModelError, match="gives no class maps: they need global average pooling"):
        draw(np.zeros((8, 8, 1), np.uint8), prediction(None, 1.0))
