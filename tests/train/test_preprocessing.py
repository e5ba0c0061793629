"""Preprocessing: each step against NumPy in float64."""

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nin_onnx.train.preprocessing import STEPS, Preprocessing, Step, build

SHAPE = (3, 5, 6)  # channels, height, width


def made(n: int = 40, seed: int = 0) -> NDArray[np.uint8]:
    """Images [n, 5, 6, 3] whose channels have means and spreads of their own."""
    random = np.random.default_rng(seed)
    images = random.normal((60, 120, 200), (5, 30, 15), (n, 5, 6, 3))
    return images.clip(0, 255).astype(np.uint8)


def fitted(images: NDArray[np.uint8], *names: str, batch: int = 1000) -> Preprocessing:
    preprocessing = build(names, (images.shape[3], images.shape[1], images.shape[2]))
    preprocessing.fit(torch.from_numpy(images), batch)
    return preprocessing


def expected(name: str, train: NDArray[np.float64], images: NDArray[np.float64]) -> Any:
    """What the step makes of `images`, fitted on `train`; both [N, channels, height, width]."""
    match name:
        case "scale":
            return images / 255
        case "standardize":
            return (images - train.mean((0, 2, 3), keepdims=True)) / train.std((0, 2, 3), keepdims=True)
        case "mean_image":
            return images - train.mean(0)
        case "gcn" | "gcn55":
            centered = images - images.mean((1, 2, 3), keepdims=True)
            norms = np.linalg.norm(centered.reshape(len(images), -1), axis=1)
            return (55 if name == "gcn55" else 1) * centered / norms[:, None, None, None]
        case "zca":
            return zca(train.reshape(len(train), -1), images.reshape(len(images), -1)).reshape(images.shape)
        case "lcn":
            return np.stack([[lcn(channel) for channel in one] for one in images])
    raise NotImplementedError(name)


def zca(train: NDArray[np.float64], images: NDArray[np.float64]) -> NDArray[np.float64]:
    """(x - mean) · (C + 0.1·I)^-½, by the singular values of the centered images; both [N, values]."""
    mean = train.mean(0)
    _, singular, vectors = np.linalg.svd((train - mean) / len(train) ** 0.5, full_matrices=True)
    eigenvalues = np.zeros(len(vectors))
    eigenvalues[: len(singular)] = singular**2
    matrix = ((vectors.T / np.sqrt(eigenvalues + 0.1)) @ vectors).astype(np.float16)  # as it is stored
    whitened: NDArray[np.float64] = (images - mean) @ matrix.astype(np.float64)
    return whitened


def lcn(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """LeCun's local contrast normalization of [height, width], with SciPy's correlation and a loop-free Gaussian."""
    y, x = np.mgrid[-3:4, -3:4]
    gaussian = np.exp(-(x**2 + y**2) / (2 * 2.0**2))
    gaussian /= gaussian.sum()
    around, strength = (scipy.ndimage.correlate(of, gaussian, mode="constant") for of in (image, image**2))
    denominator = np.sqrt(strength)
    result: NDArray[np.float64] = (image - around) / np.maximum(np.maximum(denominator.mean(), denominator), 1e-4)
    return result


@pytest.mark.parametrize(
    "names",
    [
        *((name,) for name in STEPS),
        *(("scale", "standardize"), ("mean_image", "scale", "standardize"), ("gcn55", "zca"), ("gcn", "lcn")),
    ],
)
def test_steps_are_what_numpy_calculates_in_float64(names: tuple[str, ...]) -> None:
    train, test = made(), made(7, seed=1)
    of_train, of_test = (images.transpose(0, 3, 1, 2).astype(np.float64) for images in (train, test))
    for name in names:
        of_train, of_test = expected(name, of_train, of_train), expected(name, of_train, of_test)
    found = fitted(train, *names)(torch.from_numpy(test))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), of_test, rtol=1e-5, atol=1e-5 * np.abs(of_test).max())


def test_no_step_means_the_raw_pixels_with_channels_first() -> None:
    images = made()
    np.testing.assert_array_equal(fitted(images)(torch.from_numpy(images)).numpy(), images.transpose(0, 3, 1, 2))


def test_float64_is_calculated_in_when_asked_for() -> None:
    images = made()
    found = fitted(images, "scale")(torch.from_numpy(images), torch.float64)
    np.testing.assert_array_equal(found.numpy(), images.transpose(0, 3, 1, 2) / 255)


@given(st.integers(1, 41))
def test_a_fit_in_batches_is_the_fit_at_once(batch: int) -> None:
    names = ("scale", "mean_image", "standardize")
    at_once, in_batches = (fitted(made(), *names, batch=size).state_dict() for size in (40, batch))
    for key, value in at_once.items():
        torch.testing.assert_close(in_batches[key], value, rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("level", [0, 1, 77, 127, 179, 254, 255])
@pytest.mark.parametrize("names", [("standardize",), ("scale", "standardize"), ("mean_image", "standardize")])
def test_a_channel_that_is_constant_becomes_0_and_other_values_in_it_stay_small(level: int, names: tuple[str, ...]) -> None:
    images = made(300)
    images[..., 1] = level
    found = fitted(images, *names)
    assert found(torch.from_numpy(images))[:, 1].abs().max() < 1e-5
    images[..., 1] = 255 - level
    assert found(torch.from_numpy(images))[:, 1].abs().max() <= 255


def test_a_channel_with_one_other_pixel_is_not_constant() -> None:
    images = np.full((1000, 8, 8, 1), 200, np.uint8)
    images[3, 2, 1] = 201
    found = fitted(images, "scale", "standardize").state_dict()["standardize.std"].item()
    assert found == pytest.approx(np.std(images / 255), rel=1e-4)


def test_the_fit_does_not_depend_on_how_a_large_mean_hides_a_small_spread() -> None:
    images = np.where(np.random.default_rng(0).random((500, 16, 16, 1)) < 0.5, 254, 255).astype(np.uint8)
    found = fitted(images, "scale", "standardize").state_dict()["standardize.std"].item()
    assert found == pytest.approx(np.std(images / 255), rel=1e-6)


def test_a_later_step_is_fitted_on_what_the_earlier_ones_give_in_float64() -> None:
    """The mean of what has lost its mean image is 0 but for float64's rounding; with a mean image of float32 it is about 1e-6."""
    assert fitted(made(), "mean_image", "standardize").state_dict()["standardize.mean"].abs().max() < 1e-10


def test_what_is_fitted_is_stored_as_float32_under_the_steps_name() -> None:
    state = fitted(made(), "scale", "standardize", "mean_image").state_dict()
    assert {name: (tuple(value.shape), value.dtype) for name, value in state.items()} == {
        "scale.highest": ((), torch.float32),
        "standardize.mean": ((3, 1, 1), torch.float32),
        "standardize.std": ((3, 1, 1), torch.float32),
        "mean_image.mean": (SHAPE, torch.float32),
    }


def test_nothing_in_a_step_is_trained() -> None:
    assert list(build(STEPS, SHAPE).parameters()) == []


@pytest.mark.parametrize("level", range(0, 256, 17))
@pytest.mark.parametrize("names", [("gcn",), ("gcn55",), ("gcn", "lcn")])
def test_an_image_of_one_color_becomes_0_exactly(level: int, names: tuple[str, ...]) -> None:
    """A mean in float32 would be off by a rounding, which the division by the norm makes as large as an image."""
    images = torch.full((1, 32, 32, 3), level, dtype=torch.uint8)
    preprocessing = build(names, (3, 32, 32))
    assert not preprocessing(images).any()


def test_an_image_with_one_pixel_a_step_brighter_is_normalized_as_any_other() -> None:
    images = torch.full((1, 32, 32, 3), 200, dtype=torch.uint8)
    images[0, 5, 7, 1] = 201
    found = build(("gcn55",), (3, 32, 32))(images)
    assert found.norm().item() == pytest.approx(55, rel=1e-5)
    assert found[0, 1, 5, 7].item() == pytest.approx(55 * (1 - 1 / 3072) ** 0.5, rel=1e-5)


def test_whitened_training_images_have_no_covariance_but_for_the_filter_bias() -> None:
    train = made(5000)
    images = torch.from_numpy(train)
    preprocessing = build(("scale", "zca"), SHAPE)
    preprocessing.fit(images)
    values = preprocessing(images).flatten(1).double().numpy()
    before = np.linalg.eigvalsh(np.cov(train.reshape(5000, -1) / 255, rowvar=False, bias=True))
    after = np.linalg.eigvalsh(np.cov(values, rowvar=False, bias=True))
    np.testing.assert_allclose(np.sort(after), np.sort(before / (before + 0.1)), atol=2**-10)  # the matrix is in half precision


def test_the_matrix_is_of_half_precision_numbers_and_one_of_an_older_checkpoint_becomes_so() -> None:
    preprocessing = fitted(made(200), "gcn55", "zca")
    whitening = preprocessing[1]
    matrix = whitening.state_dict()["matrix"].clone()
    assert torch.equal(matrix, matrix.half().float())
    older = matrix * (1 + 1e-4 * torch.rand(matrix.shape, generator=torch.Generator().manual_seed(0)))
    whitening.load_state_dict({"mean": whitening.state_dict()["mean"], "matrix": older})
    assert isinstance(whitening, Step)
    whitening.settle()
    assert torch.equal(whitening.state_dict()["matrix"], older.half().float())


def test_whitening_is_symmetric_so_that_images_stay_images() -> None:
    matrix = fitted(made(200), "gcn55", "zca").state_dict()["zca.matrix"]
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-6)
