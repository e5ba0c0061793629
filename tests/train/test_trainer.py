"""Whole trainings on a tiny data set: repeatable, judged by what they keep, and honest about what they looked at."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nin_onnx import data
from nin_onnx.errors import DataError, RecipeError, RunError
from nin_onnx.recipe import Recipe
from nin_onnx.train import evaluation, state, trainer
from nin_onnx.train.checkpoint import load_classifier
from nin_onnx.train.evaluation import count_errors
from nin_onnx.train.learner import Learner
from nin_onnx.train.preprocessing import Preprocessing
from nin_onnx.train.process_group import ProcessGroup

Recipes = Callable[..., Recipe]
LEARNS = ("train.epochs=30", "network.dropout=0", "augmentation.padding=0", "augmentation.flip=false")  # the tiny data set


def quiet(line: str) -> None:
    pass


def train(recipe: Recipe, folder: Path, seed: int = 0) -> dict[str, Any]:
    return trainer.train(recipe, folder, seed=seed, on="cpu", echo=quiet)


def wrong(model: Path, dataset: Any) -> int:
    """Errors of the classifier in `model`, counted here image by image."""
    classifier, _ = load_classifier(model)
    answers = [int(classifier(torch.from_numpy(image[None])).logits[0].argmax()) for image in dataset.images]
    return int(np.sum(np.array(answers) != dataset.labels))


def metrics(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path, tiny_recipe: Recipes) -> None:
    files: list[tuple[bytes, torch.Tensor]] = []
    for name, seed in (("one", 5), ("same", 5), ("other", 6)):
        torch.manual_seed(len(files))  # the global generator has no part in it
        train(tiny_recipe(), tmp_path / name, seed)
        tensors, _ = load_classifier(tmp_path / name / "model.safetensors")
        files.append(((tmp_path / name / "model.safetensors").read_bytes(), tensors.network.state_dict()["conv1.weight"]))
    assert files[0][0] == files[1][0]
    assert not torch.equal(files[0][1], files[2][1])


def test_an_ended_run_holds_recipe_metrics_model_and_summary(tmp_path: Path, tiny_recipe: Recipes) -> None:
    train(tiny_recipe("train.epochs=1"), tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"recipe.toml", "metrics.csv", "model.safetensors", "summary.json"}


def test_the_network_learns_what_is_to_be_learnt(tmp_path: Path, tiny_recipe: Recipes) -> None:
    summary = train(tiny_recipe(*LEARNS), tmp_path / "run")
    assert summary["train_error"] < 5
    assert summary["test"]["error"] < 40  # guessing: 90
    losses = [float(row["train_loss"]) for row in metrics(tmp_path / "run")]
    assert losses[0] == pytest.approx(np.log(10), abs=0.3)
    assert losses[-1] < losses[0] / 4


def test_the_summary_says_what_came_out_of_what(tmp_path: Path, tiny: Any, tiny_recipe: Recipes) -> None:
    returned = train(tiny_recipe("train.epochs=2"), tmp_path / "run", seed=4)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary == json.loads(json.dumps(returned))
    assert {
        key: summary[key] for key in ("recipe", "experiment", "seed", "epochs", "validation_error", "device", "precision")
    } == {
        "recipe": "tiny-modified",
        "experiment": None,
        "seed": 4,
        "epochs": 2,
        "validation_error": None,
        "device": "cpu",
        "precision": "float32",
    }
    test = tiny.load("test", tmp_path)
    errors = wrong(tmp_path / "run" / "model.safetensors", test)
    assert (summary["test"]["errors"], summary["test"]["images"], summary["test"]["error"]) == (errors, 50, 2 * errors)
    low, high = (summary["test"][bound] / 100 for bound in ("low", "high"))
    assert 0 <= low < errors / 50 < high <= 1
    assert summary["test"]["fingerprint"] == test.fingerprint
    assert summary["dataset"] == tiny.load("train", tmp_path).describe()
    assert summary["versions"]["torch"] == torch.__version__
    assert [epoch["train_loss"] for epoch in summary["curve"]] == pytest.approx(
        [float(row["train_loss"]) for row in metrics(tmp_path / "run")], rel=1e-5
    )
    last = metrics(tmp_path / "run")[-1]
    assert float(last["train_loss"]) == pytest.approx(summary["train_loss"], rel=1e-5)


def test_the_checkpoint_says_what_it_is_of(tmp_path: Path, tiny: Any, tiny_recipe: Recipes) -> None:
    recipe = tiny_recipe("train.epochs=1")
    train(recipe, tmp_path / "run", seed=4)
    _, checkpoint = load_classifier(tmp_path / "run" / "model.safetensors")
    assert (checkpoint.recipe, checkpoint.seed, checkpoint.labels) == (recipe, 4, tuple("abcdefghij"))
    assert checkpoint.dataset == tiny.load("train", tmp_path).describe()


def test_the_learning_rate_of_an_epoch_is_its_last_steps(tmp_path: Path, tiny_recipe: Recipes) -> None:
    train(tiny_recipe("schedule.kind=stepped", "schedule.milestones=[1, 2]", "schedule.ema_decay=0"), tmp_path / "run")
    assert [float(row["learning_rate"]) for row in metrics(tmp_path / "run")] == pytest.approx([0.05, 0.005, 0.0005])


def test_every_image_is_trained_on_once_an_epoch_in_another_order_each_time(
    tmp_path: Path, tiny: Any, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[bytes]] = []
    step = Learner.step

    def recorded(self: Learner, rows: torch.Tensor, number: int) -> Any:
        assert number == len(seen)
        seen.append([image.numpy().tobytes() for image in self.images[rows]])
        return step(self, rows, number)

    monkeypatch.setattr(Learner, "step", recorded)
    train(tiny_recipe("train.epochs=2"), tmp_path / "run")
    assert [len(batch) for batch in seen] == [32, 32, 32, 14] * 2
    first, second = ([image for batch in epoch for image in batch] for epoch in (seen[:4], seen[4:]))
    assert sorted(first) == sorted(second) == sorted(image.tobytes() for image in tiny.load("train", tmp_path).images)
    assert first != second


def test_loss_and_error_of_an_epoch_are_means_over_its_images(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[tuple[float, float]] = []
    step = Learner.step

    def recorded(self: Learner, rows: torch.Tensor, number: int) -> Any:
        loss, errors = step(self, rows, number)
        results.append((float(loss), float(errors)))
        return loss, errors

    monkeypatch.setattr(Learner, "step", recorded)
    train(tiny_recipe("train.epochs=2"), tmp_path / "run")
    for row, epoch in zip(metrics(tmp_path / "run"), (results[:4], results[4:]), strict=True):
        loss, errors = (sum(values) for values in zip(*epoch, strict=True))
        assert float(row["train_loss"]) == pytest.approx(loss / 110, rel=1e-5)
        assert float(row["train_error"]) == pytest.approx(100 * errors / 110, rel=1e-5)


@pytest.mark.parametrize("average", ["0", "0.98"])
def test_what_is_validated_is_the_kept_classifier_on_the_last_images(
    tmp_path: Path, tiny: Any, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, average: str
) -> None:
    learners: list[Learner] = []
    begin = Learner.begin

    def recorded(self: Learner, seed: int) -> None:
        learners.append(self)
        begin(self, seed)

    monkeypatch.setattr(Learner, "begin", recorded)
    summary = train(tiny_recipe(f"schedule.ema_decay={average}", "train.validation=70"), tmp_path / "run")
    held_out = tiny.load("train", tmp_path)[-70:]
    errors = wrong(tmp_path / "run" / "model.safetensors", held_out)
    assert summary["validation_error"] == pytest.approx(100 * errors / 70)
    assert float(metrics(tmp_path / "run")[-1]["validation_error"]) == pytest.approx(100 * errors / 70, rel=1e-5)
    kept, _ = load_classifier(tmp_path / "run" / "model.safetensors")
    latest = dict(learners[0].network.named_parameters())
    assert all(torch.equal(tensor, latest[name]) for name, tensor in kept.network.named_parameters()) == (average == "0")
    if average != "0":
        averaged = dict(learners[0].result().network.named_parameters())
        assert all(torch.equal(tensor, averaged[name]) for name, tensor in kept.network.named_parameters())


def test_with_validation_the_test_set_is_not_even_read(tmp_path: Path, tiny: Any, tiny_recipe: Recipes) -> None:
    summary = train(tiny_recipe("train.epochs=1", "train.validation=30"), tmp_path / "validated")
    assert "test" not in summary
    assert tiny.loaded == ["train"]
    tiny.loaded.clear()
    train(tiny_recipe("train.epochs=1"), tmp_path / "tested")
    assert tiny.loaded == ["train", "test"]


def test_preprocessing_is_fitted_without_the_held_out_images(tmp_path: Path, tiny: Any, tiny_recipe: Recipes) -> None:
    train(tiny_recipe("train.epochs=1", "train.validation=60"), tmp_path / "run")
    classifier, _ = load_classifier(tmp_path / "run" / "model.safetensors")
    pixels = tiny.load("train", tmp_path).images[:50] / 255
    state = classifier.preprocessing.state_dict()
    assert state["standardize.mean"].item() == pytest.approx(pixels.mean(), rel=1e-6)
    assert state["standardize.std"].item() == pytest.approx(pixels.std(), rel=1e-6)


@pytest.mark.parametrize("override", ["network.architecture=nin-mnist", "train.batch_size=111", "train.validation=100"])
def test_a_recipe_that_does_not_fit_its_data_leaves_no_folder(tmp_path: Path, tiny_recipe: Recipes, override: str) -> None:
    with pytest.raises(RecipeError, match=r"^'tiny-modified': "):
        train(tiny_recipe(override), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten(tmp_path: Path, tiny_recipe: Recipes) -> None:
    train(tiny_recipe("train.epochs=1"), tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(RunError, match="already exists and will not be overwritten"):
        train(tiny_recipe(), tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_test_set_that_cannot_be_read_costs_no_training(
    tmp_path: Path, tiny: Any, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = tiny.load

    def broken(split: str, folder: Path) -> Any:
        if split == "test":
            raise DataError("'test' is broken")
        return load(split, folder)

    monkeypatch.setattr(data, "DATASETS", {"tiny": data.Source(broken, lambda folder: folder, 80, 40)})
    monkeypatch.setattr(Learner, "step", None)  # nothing is trained
    with pytest.raises(DataError, match="'test' is broken"):
        train(tiny_recipe("train.epochs=2"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("validation", [0, 10])
def test_a_data_sets_own_validation_images_are_never_trained_on(
    tmp_path: Path, tiny: Any, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, validation: int
) -> None:
    load = tiny.load
    source = data.Source(
        lambda split, folder: replace(load(split, folder), held_out=40 * (split == "train")), lambda folder: folder, 80, 40
    )
    monkeypatch.setattr(data, "DATASETS", {"tiny": source})
    summary = train(tiny_recipe("train.epochs=1", f"train.validation={validation}"), tmp_path / "run")
    whole = load("train", tmp_path)
    assert summary["dataset"] == whole[:70].describe()
    classifier, _ = load_classifier(tmp_path / "run" / "model.safetensors")
    assert classifier.preprocessing.state_dict()["standardize.mean"].item() == pytest.approx((whole.images[:70] / 255).mean())
    if validation:
        assert summary["validation_error"] == 100 * wrong(tmp_path / "run" / "model.safetensors", whole[-10:]) / 10
    assert ("test" in summary) == (not validation)


def test_the_test_curve_is_the_test_error_after_each_epoch_and_is_off_by_default(
    tmp_path: Path, tiny: Any, tiny_recipe: Recipes
) -> None:
    settings = ("schedule.kind=stepped", "schedule.ema_decay=0")  # an epoch more changes nothing in those before it
    train(tiny_recipe(*settings, "train.test_curve=true"), tmp_path / "curve")
    found = [float(row["test_error"]) for row in metrics(tmp_path / "curve")]
    assert len(found) == 3
    for epochs in (1, 2, 3):
        train(tiny_recipe(*settings, f"train.epochs={epochs}"), tmp_path / str(epochs))
        errors = wrong(tmp_path / str(epochs) / "model.safetensors", tiny.load("test", tmp_path))
        assert found[epochs - 1] == pytest.approx(100 * errors / 50)
        assert {row["test_error"] for row in metrics(tmp_path / str(epochs))} == {""}


def test_the_test_is_in_float32_and_the_curve_in_the_precision_of_the_training(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[torch.dtype] = []

    def recorded(classifier: Any, images: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype) -> int:
        counted.append(dtype)
        return count_errors(classifier, images, labels, dtype)

    monkeypatch.setattr(evaluation, "count_errors", recorded)
    train(tiny_recipe("train.precision=bf16", "train.test_curve=true"), tmp_path / "run")
    assert counted == [torch.bfloat16] * 3 + [torch.float32]


def test_by_the_papers_rule_the_rate_falls_when_the_training_error_does_not(tmp_path: Path, tiny_recipe: Recipes) -> None:
    settings = ("schedule.kind=plateau", "schedule.patience=2", "schedule.ema_decay=0", "train.epochs=200", *LEARNS[1:])
    summary = train(tiny_recipe(*settings), tmp_path / "run")
    rows = metrics(tmp_path / "run")
    assert summary["epochs"] == len(rows) < 200
    rates = [float(row["learning_rate"]) for row in rows]
    assert sorted(set(rates), reverse=True) == pytest.approx([0.05, 0.005, 0.0005])
    for rate in set(rates):
        errors = [float(row["train_error"]) for row, own in zip(rows, rates, strict=True) if own == rate]
        assert min(errors[-2:]) >= min(errors[:-2])  # the last two brought nothing new
        assert len(errors) == 3 or errors[-3] == min(errors)


def test_preprocessing_is_fitted_where_the_images_are_before_it_moves_to_the_device(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU its buffers and the images would lie on two devices."""
    fitted: list[str] = []
    fit, made = Preprocessing.fit, Learner.__init__

    def fitting(self: Preprocessing, images: torch.Tensor, batch: int = 1000) -> None:
        fitted.append(f"fit on {images.device}")
        fit(self, images, batch)

    def moving(self: Learner, *arguments: Any, **more: Any) -> None:
        fitted.append("moved")
        made(self, *arguments, **more)

    monkeypatch.setattr(Preprocessing, "fit", fitting)
    monkeypatch.setattr(Learner, "__init__", moving)
    train(tiny_recipe("train.epochs=1"), tmp_path / "run")
    assert fitted == ["fit on cpu", "moved"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_a_training_runs_on_cuda(tmp_path: Path, tiny_recipe: Recipes) -> None:
    summary = trainer.train(tiny_recipe(*LEARNS), tmp_path / "run", on="cuda", echo=quiet)
    assert summary["train_error"] < 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_on_cuda_deterministic_runs_of_one_seed_are_the_same_file(tmp_path: Path, tiny_recipe: Recipes) -> None:
    recipe = tiny_recipe("train.precision=bf16")
    for name in ("one", "same"):
        trainer.train(recipe, tmp_path / name, seed=5, on="cuda", deterministic=True, echo=quiet)
    one, same = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "same"))
    assert one == same


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_on_cuda_a_training_after_a_deterministic_one_has_its_cuda_graph(tmp_path: Path, tiny_recipe: Recipes) -> None:
    said: dict[bool, list[str]] = {True: [], False: []}
    for deterministic, lines in said.items():
        folder = tmp_path / str(deterministic)
        trainer.train(tiny_recipe(), folder, on="cuda", deterministic=deterministic, echo=lines.append)
    assert ["CUDA graph: captured and checked" in lines for lines in said.values()] == [False, True]


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_learner_is_told_whether_it_is_to_be_deterministic(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    told: list[bool] = []
    made = Learner.__init__

    def recorded(self: Learner, *arguments: Any, **more: Any) -> None:
        told.append(more["deterministic"])
        made(self, *arguments, **more)

    monkeypatch.setattr(Learner, "__init__", recorded)
    trainer.train(tiny_recipe("train.epochs=1"), tmp_path / "run", on="cpu", deterministic=deterministic, echo=quiet)
    assert told == [deterministic]


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_sums_that_other_processes_wrote_are_shared_evenly_and_stay_whole(wrote: int, read: int, data: st.DataObject) -> None:
    """The bar shows the main process's part as that of each."""
    errors = data.draw(st.lists(st.integers(0, 60_000), min_size=wrote, max_size=wrote))
    sums = torch.tensor([[2.5 * count, count] for count in errors])
    parts = torch.stack([state.own_sums(sums, ProcessGroup(rank, read)) for rank in range(read)])
    assert int(parts[:, 1].sum()) == sum(errors)
    assert float(parts[:, 0].sum()) == pytest.approx(2.5 * sum(errors))
    if wrote != read:
        assert float(parts[:, 1].max() - parts[:, 1].min()) <= 1
        assert float(parts[:, 0].max() - parts[:, 0].min()) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(5))
def test_the_digits_recipe_reaches_2_per_cent(seed: int, tmp_path: Path) -> None:
    from nin_onnx import recipe

    summary = trainer.train(recipe.load("digits"), tmp_path / "run", seed=seed, echo=quiet)
    assert summary["test"]["images"] == 360
    assert summary["test"]["error"] <= 2.0
