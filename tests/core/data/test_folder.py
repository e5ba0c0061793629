"""A user's own images: which are found, how they are split, and what is said of a folder that is otherwise."""

import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nin_onnx.data.folder import ImageFolder, draw, shuffled
from nin_onnx.errors import DataError, MissingExtraError, UnknownNameError

CLASSES = {"cat": 6, "ant": 10, "bee": 5}
LAYOUT = "a folder with a sub-folder for each class, and in those the images"


def fill(folder: Path, classes: dict[str, int] = CLASSES, shift: int = 0) -> Path:
    """Images that tell which they are: of class number c (in the order of `classes`), the i-th is all of gray 20 c + i."""
    for number, (name, images) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for image in range(images):
            Image.new("L", (6, 4), 20 * number + image + shift).save(folder / name / f"{image}.png")
    return folder


def settings(path: Path, **changed: Any) -> ImageFolder:
    return replace(ImageFolder(path=path, height=4, width=5, channels=1), **changed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "animals")


def grays(images: Any) -> list[int]:
    """The gray of each image, the same in all of its pixels."""
    assert all((image == image[0, 0, 0]).all() for image in images)
    return [int(image[0, 0, 0]) for image in images]


ALL = [*range(6), *range(20, 30), *range(40, 45)]


def test_the_classes_are_the_sub_folders_in_the_alphabet_s_order(folder: Path) -> None:
    train = settings(folder).load("train")
    assert train.classes == ("ant", "bee", "cat")
    assert (train.images.shape[1:], train.images.dtype, train.labels.dtype) == ((4, 5, 1), np.dtype("u1"), np.dtype("i8"))
    for gray, label in zip(grays(train.images), train.labels, strict=True):
        assert list(CLASSES)[gray // 20] == train.classes[label]


def test_train_and_test_are_a_partition_with_the_share_of_each_class(folder: Path) -> None:
    train, test = settings(folder, test_share=0.3).load("train"), settings(folder, test_share=0.3).load("test")
    assert sorted(grays(train.images) + grays(test.images)) == ALL
    assert np.bincount(test.labels).tolist() == [3, 2, 2]  # of 10, 5 and 6: 3, 1.5 and 1.8


def test_two_folders_are_train_and_test_as_they_are(tmp_path: Path, folder: Path) -> None:
    tests = fill(tmp_path / "tests", {"bee": 1, "ant": 2, "cat": 1}, shift=100)
    both = settings(folder, test_path=tests, channels=3)
    train, test = both.load("train"), both.load("test")
    assert sorted(grays(train.images)) == ALL
    assert sorted(zip(grays(test.images), test.labels.tolist(), strict=True)) == [(100, 1), (120, 0), (121, 0), (140, 2)]
    assert test.images.shape == (4, 4, 5, 3)


def test_the_split_is_a_function_of_seed_and_names_alone(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "elsewhere" / "again"
    for label in reversed(CLASSES):  # made in another order, in another place
        (other / label).mkdir(parents=True)
        for file in sorted((folder / label).iterdir(), reverse=True):
            (other / label / file.name).write_bytes(file.read_bytes())
    for split in ("train", "test"):
        assert settings(folder).load(split).fingerprint == settings(other).load(split).fingerprint
    assert settings(folder).load("test").fingerprint != settings(folder, seed=1).load("test").fingerprint


def test_the_split_is_the_same_for_ever() -> None:
    names = [f"ant/{number}.png" for number in range(10)]
    assert shuffled(names, 0) == [f"ant/{number}.png" for number in (2, 1, 5, 9, 4, 8, 6, 7, 0, 3)]  # sha256("0/ant/2.png"), …
    assert draw(names, 0.3, 0) == {"ant/2.png", "ant/1.png", "ant/5.png"}


@given(st.sets(st.text(min_size=1, max_size=9), min_size=2, max_size=50), st.floats(0.001, 0.999), st.integers(0, 99))
def test_a_draw_leaves_both_sides_something_and_the_share_as_near_as_can_be(names: set[str], share: float, seed: int) -> None:
    listed = sorted(names)
    drawn = draw(listed, share, seed)
    assert drawn < names
    assert drawn
    assert abs(len(drawn) - share * len(names)) <= 0.5 or len(drawn) in (1, len(names) - 1)
    random.Random(seed).shuffle(listed)
    assert draw(listed, share, seed) == drawn
    assert shuffled(listed, seed) == shuffled(names, seed)


def test_a_new_image_sends_few_others_to_the_other_side() -> None:
    names = [f"{number}" for number in range(1000)]
    assert len(draw(names, 0.2, 0) ^ draw([*names, "new"], 0.2, 0)) <= 2


def test_the_end_of_a_training_set_is_of_all_classes(tmp_path: Path) -> None:
    train = settings(fill(tmp_path / "even", {"a": 20, "b": 20, "c": 20})).load("train")
    assert set(train.labels[-20:].tolist()) == {0, 1, 2}


def test_a_user_s_own_data_are_called_so_and_nothing_is_warned_of(folder: Path) -> None:
    facts = settings(folder).load("train").describe()
    assert (facts["name"], facts["provenance"]) == ("folder:animals", "user's own")
    assert not settings(folder).load("test").official


def test_the_name_is_the_folder_s_wherever_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert settings(Path()).name == "folder:animals"


def test_hidden_files_and_files_beside_the_class_folders_are_left_aside(folder: Path) -> None:
    before = settings(folder).load("train").fingerprint
    (folder / "README.txt").write_text("about")
    (folder / ".cache").mkdir()
    (folder / "ant" / ".DS_Store").write_bytes(b"?")
    (folder / "ant" / ".thumbnails").mkdir()
    assert settings(folder).load("train").fingerprint == before


def test_images_of_all_sizes_come_to_one_and_are_cropped_where_that_is_asked_for(folder: Path) -> None:
    stripes = Image.new("L", (30, 10))
    stripes.paste(200, (8, 0, 22, 10))  # the middle square, and a little beside it
    stripes.save(folder / "ant" / "0.png")
    square = settings(folder, height=8, width=8, test_path=fill(folder.parent / "tests"))
    cropped, stretched = replace(square, fit="crop").load("train").images, square.load("train").images
    assert any((image == 200).all() for image in cropped)
    assert not any((image == 200).all() for image in stretched)


def message(use: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        use()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_files_that_are_no_images_are_counted_and_the_first_named(folder: Path) -> None:
    for name in ("notes.txt", "b.png", "c.png", "d.png"):
        (folder / "cat" / name).write_bytes(b"no image")
    (folder / "ant" / "0.png").write_bytes((folder / "ant" / "0.png").read_bytes()[:50])
    tests = fill(folder.parent / "tests")
    found = message(lambda: settings(folder, test_path=tests).load("train"))
    assert found.startswith(f"5 of 25 files in '{folder}' cannot be read as images: 'ant/0.png' (")
    none = "(no image, or of another format)"
    assert found.endswith(f"), 'cat/b.png' {none}, 'cat/c.png' {none} and 2 more: delete or replace them, or move them away")


def test_an_empty_class_is_named(folder: Path) -> None:
    (folder / "dog").mkdir()
    (folder / "dog" / ".keep").write_bytes(b"")
    expected = f"'{folder / 'dog'}' is empty: expected images of the class 'dog': add some, or delete it"
    assert message(lambda: settings(folder).load("train")) == expected


@pytest.mark.parametrize(
    ("classes", "found"), [({}, "has no class folders"), ({"ant": 3}, "has the class folder 'ant' alone")], ids=["none", "one"]
)
def test_fewer_than_two_classes_are_refused(tmp_path: Path, classes: dict[str, int], found: str) -> None:
    folder = fill(tmp_path, classes)
    (folder / "image.png").write_bytes(b"")
    expected = f"'{folder}' {found}: expected {LAYOUT}, of two classes or more: name another folder, or sort the images"
    assert message(lambda: settings(folder).load("train")) == expected


def test_the_folder_above_train_and_test_is_told_from_one_of_classes(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test")
    expected = f"'{tmp_path / 'test'}' holds folders ('ant', 'bee', 'cat'): expected {LAYOUT}: name the folder above the classes"
    assert message(lambda: settings(tmp_path).load("train")).startswith(expected)


def test_a_folder_that_is_not_there_or_is_a_file_is_named(folder: Path) -> None:
    found = message(lambda: settings(folder / "nothing").load("train"))
    assert found == f"'{folder / 'nothing'}' cannot be read (No such file or directory): expected {LAYOUT}: name another folder"
    found = message(lambda: settings(folder, test_path=folder / "ant" / "0.png").load("test"))
    assert found.startswith(f"'{folder / 'ant' / '0.png'}' cannot be read (Not a directory): expected ")


def test_a_class_of_one_image_cannot_be_split_but_can_be_used(tmp_path: Path) -> None:
    folder = fill(tmp_path / "one", {"ant": 3, "bee": 1})
    assert message(lambda: settings(folder).load("train")) == (
        f"'{folder / 'bee'}' holds one file: expected two or more, to train on one and test on another: "
        "add images, or name a folder of test images (test_path)"
    )
    assert len(settings(folder, test_path=fill(tmp_path / "tests", {"ant": 1, "bee": 1})).load("train")) == 4


def test_train_and_test_of_other_classes_are_refused_whichever_is_asked_for(tmp_path: Path, folder: Path) -> None:
    tests = fill(tmp_path / "tests", {"ant": 1, "bee": 1, "cow": 1})
    expected = (
        f"'{folder}' and '{tests}' should have the same class folders, and 'cat', 'cow' are in one of them alone: make them agree"
    )
    assert message(lambda: settings(folder, test_path=tests).load("train")) == expected
    assert message(lambda: settings(folder, test_path=tests).load("test")) == expected


def test_one_folder_for_train_and_test_is_refused(folder: Path) -> None:
    found = message(lambda: settings(folder, test_path=folder / "ant" / "..").load("test"))
    assert found == f"'{folder}' is given for training and for testing: name two folders, or leave test_path out"


def test_a_name_that_no_card_could_hold_is_to_be_changed(folder: Path) -> None:
    """In Latin-1: a byte that is no UTF-8 reaches Python as a surrogate."""
    latin = os.fsdecode(b"caf\xe9")
    (folder / "cat").rename(folder / latin)
    expected = "should have a name in UTF-8, as labels are written: rename the folder"
    assert message(lambda: settings(folder).load("train")) == rf"'{folder}/caf\xe9' {expected}"
    assert message(lambda: settings(folder).load_all(("ant", "bee", "cat"))) == rf"'{folder}/caf\xe9' {expected}"
    moved = fill(folder.with_name(latin))
    assert message(lambda: settings(moved).load("train")) == rf"'{folder.parent}/caf\xe9' {expected}"


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("height", 0, "1 or more"),
        ("width", -1, "1 or more"),
        ("channels", 4, "1 or 3"),
        ("test_share", 0.0, "above 0 and below 1"),
        ("test_share", 1.0, "above 0 and below 1"),
        ("test_share", float("nan"), "above 0 and below 1"),
        ("fit", "pad", "stretch or crop"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting: str, value: object, expected: str) -> None:
    found = message(lambda: settings(Path("images"), **{setting: value}))
    assert found == f"{setting} '{value}' of the folder 'images': expected {expected}"


def test_a_missing_pillow_is_named_with_its_installation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"^a folder of images needs .*'pillow': pip install 'nin-onnx\[images\]'$"):
        settings(folder).load("train")


def test_a_whole_folder_is_labeled_by_names_of_which_some_may_be_absent(folder: Path) -> None:
    whole = settings(folder).load_all(("yak", "cat", "bee", "ant"))
    assert (whole.classes, whole.split, whole.provenance) == (("yak", "cat", "bee", "ant"), "test", "user's own")
    assert sorted(grays(whole.images)) == ALL
    assert [gray // 20 for gray in grays(whole.images)] == [["cat", "ant", "bee"].index(whole.classes[i]) for i in whole.labels]


def test_a_folder_of_one_class_can_be_tested_on_though_not_trained_on(tmp_path: Path) -> None:
    one = settings(fill(tmp_path / "one", {"cat": 2}))
    assert one.load_all(("ant", "cat")).labels.tolist() == [1, 1]
    with pytest.raises(DataError, match="has the class folder 'cat' alone"):
        one.load("test")


def test_a_sub_folder_that_bears_no_label_is_named(folder: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown class folder 'cat': did you mean 'cats'\? known are ant, bee, cats"):
        settings(folder).load_all(("ant", "bee", "cats"))


def test_a_folder_without_class_folders_cannot_be_tested_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"has no class folders: expected {LAYOUT}: name another"):
        settings(tmp_path).load_all(("ant", "bee"))
