"""What a run does not go on from, or not without a word: states that do not fit, and other conditions."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nin_onnx import data
from nin_onnx.errors import RunError
from nin_onnx.recipe import Recipe
from nin_onnx.train import checkpoint, trainer
from nin_onnx.train.learner import Learner

if TYPE_CHECKING:
    from tests.train.resume.conftest import Same, Stop

Recipes = Callable[..., Recipe]
STEPS = 4  # an epoch of the tiny data set


def quiet(line: str) -> None:
    pass


def test_a_folder_that_is_no_run_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none' is not a run folder: make one with nin-onnx train RECIPE --out "):
        trainer.resume(tmp_path / "none", on="cpu", echo=quiet)


def test_an_ended_run_is_not_resumed(tmp_path: Path, tiny_recipe: Recipes) -> None:
    trainer.train(tiny_recipe("train.epochs=1"), tmp_path / "run", on="cpu", echo=quiet)
    with pytest.raises(RunError, match=r"^the run '.*run' has ended: nin-onnx export .*run$"):
        trainer.resume(tmp_path / "run", on="cpu", echo=quiet)


def _truncated(state: Path) -> None:
    state.write_bytes(state.read_bytes()[:-10])


def _foreign(state: Path) -> None:
    state.write_bytes(b"PK\x03\x04" * 10)


def _of_a_model(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, {name.replace("/", "."): tensor for name, tensor in tensors.items()}, description)


def _without_seed(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    del description["state"]["seed"]
    checkpoint.write(state, tensors, description)


def _no_table(state: Path) -> None:
    tensors, _ = checkpoint.read(state)
    checkpoint.write(state, tensors, ["epochs"])  # type: ignore[arg-type]


def _recipe_is_a_word(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, tensors, {**description, "recipe": "tiny"})


def _with_a_key_from_the_future(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    description["recipe"]["optimizer"]["sharpness"] = 0.5
    checkpoint.write(state, tensors, description)


def _without_a_key_that_is_not_at_its_default(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    del description["recipe"]["network"]["dropout"]
    checkpoint.write(state, tensors, description)


def _of_other_layers(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, {**tensors, "network/conv1.weight": torch.zeros(3)}, description)


def _unknown_figures(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    description["state"]["epochs"] = [{"epoch": 1}]
    checkpoint.write(state, tensors, description)


def _without_average(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, {name: tensor for name, tensor in tensors.items() if "average" not in name}, description)


@pytest.mark.parametrize(
    "spoil",
    [
        _truncated,
        _foreign,
        _of_a_model,
        _without_seed,
        _no_table,
        _recipe_is_a_word,
        _with_a_key_from_the_future,
        _without_a_key_that_is_not_at_its_default,
        _of_other_layers,
        _unknown_figures,
        _without_average,
    ],
)
def test_a_state_that_does_not_fit_is_named(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", spoil: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    spoil(run / "state.safetensors")
    with pytest.raises(RunError, match=r"^'.*state.safetensors' (is not a nin-onnx checkpoint|cannot be resumed here) \("):
        trainer.resume(run, on="cpu", echo=quiet)


@pytest.mark.parametrize("key", ["ema_decay = 0.9", "learning_rate = 0.05", "padding = 1"])
def test_a_state_beside_another_recipe_is_named(tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", key: str) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    recipe = run / "recipe.toml"
    name, _, value = key.partition(" = ")
    recipe.write_text(recipe.read_text().replace(key, f"{name} = {float(value) / 2 if '.' in value else 2}"))
    with pytest.raises(
        RunError, match=r"state.safetensors' cannot be resumed here \(it is of another recipe than the recipe.toml"
    ):
        trainer.resume(run, on="cpu", echo=quiet)


def test_a_run_that_is_being_trained_is_not_resumed_beside_it_and_not_disturbed(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, same: "Same"
) -> None:
    recipe, run, undisturbed = tiny_recipe(), tmp_path / "run", tmp_path / "undisturbed"
    trainer.train(recipe, undisturbed, on="cpu", echo=quiet)
    step = Learner.step
    refused: list[str] = []

    def another(*arguments: Any) -> Any:
        (run / ".summary.json.abc.part").touch()  # as if it were just written
        with pytest.raises(RunError) as raised:
            trainer.resume(run, on="cpu", echo=quiet)
        refused.append(str(raised.value))
        assert (run / ".summary.json.abc.part").exists()
        (run / ".summary.json.abc.part").unlink()
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", another)
        trainer.train(recipe, run, on="cpu", echo=quiet)
    assert {line.partition(" (")[0] for line in refused} == {
        f"'{run}' is being trained by another process: wait for it, or stop it first"
    }
    assert same(run, undisturbed)


def test_other_conditions_than_those_that_decide_the_last_bits_are_told(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    said: list[str] = []
    stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    trainer.resume(run, on="cpu", echo=said.append)
    assert said[0] == "the last bits may differ from an undisturbed run's: threads: 1 before, 7 now"
    assert said[1] == "resumed at step 1 of 4 in epoch 2 of 3"


def test_a_state_of_an_older_version_goes_on_and_what_it_does_not_tell_is_unknown(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop"
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    tensors, description = checkpoint.read(run / "state.safetensors")
    del description["recipe"]["network"]["dropout_scaling"], description["recipe"]["folder"]
    del description["conditions"]["precision"], description["conditions"]["threads"]
    (epoch,) = description["state"]["epochs"]
    del epoch["test_error"]
    checkpoint.write(run / "state.safetensors", tensors, description)
    said: list[str] = []
    trainer.resume(run, on="cpu", echo=said.append)
    told = "the last bits may differ from an undisturbed run's"
    assert said[:2] == [f"{told}: precision: unknown before, float32 now", f"{told}: threads: unknown before, 1 now"]
    trainer.train(tiny_recipe(), tmp_path / "undisturbed", on="cpu", echo=quiet)
    one, other = ((folder / "model.safetensors").read_bytes() for folder in (run, tmp_path / "undisturbed"))
    assert one == other


def test_a_run_goes_on_as_deterministically_as_it_began(tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop") -> None:
    run = tmp_path / "run"
    error = stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", deterministic=True, echo=quiet))
    assert str(error).endswith(" --deterministic")
    with pytest.raises(RunError, match=r"its deterministic was True, here it is False"):
        trainer.resume(run, on="cpu", echo=quiet)


def test_a_run_does_not_go_on_with_another_data_set(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe("train.epochs=2"), run, on="cpu", echo=quiet))
    load = data.load
    monkeypatch.setattr(data, "load", lambda *given, **more: load(*given, **more)[1:])
    with pytest.raises(RunError, match=r"its dataset was [0-9a-f]{64}, here it is [0-9a-f]{64}"):
        trainer.resume(run, on="cpu", echo=quiet)


def test_a_run_does_not_go_on_in_another_precision(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe("train.epochs=2"), run, on="cpu", echo=quiet))
    monkeypatch.setattr("nin_onnx.train.device.precision", lambda name, device: torch.bfloat16)
    with pytest.raises(RunError, match=r"its precision was float32, here it is bfloat16"):
        trainer.resume(run, on="cpu", echo=quiet)
