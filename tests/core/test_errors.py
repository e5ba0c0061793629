"""The errors: their family, their exit status, their one line."""

import inspect
import re

import pytest

from nin_onnx import errors

FAMILY = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, errors.NinOnnxError)]


def test_the_drawing_in_the_docstring_is_the_family() -> None:
    assert errors.__doc__ is not None
    drawn: dict[str, str] = {}
    above: list[str] = []  # the errors from the root down to the line
    for prefix, name in re.findall(r"^([│├└─ ]*)(\w+)  ", errors.__doc__, re.MULTILINE):
        above = [*above[: len(prefix) // 4], name]
        drawn[name] = above[-2] if len(above) > 1 else "Exception"
    assert drawn == {error.__name__: base.__name__ for error in FAMILY for base in error.__bases__}
    assert drawn.keys() <= set(errors.__all__)


@pytest.mark.parametrize("error", FAMILY)
def test_the_exit_status_is_1_for_a_failed_check_130_when_interrupted_and_2_otherwise(error: type[errors.NinOnnxError]) -> None:
    expected = 130 if error is errors.Interrupted else 1 if issubclass(error, errors.CheckFailedError) else 2
    assert error.exit_status == expected


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all() -> None:
    error = errors.UnknownNameError("runtime", "onxruntime", ["torch", "onnxruntime"])
    assert str(error) == "unknown runtime 'onxruntime': did you mean 'onnxruntime'? known are onnxruntime, torch"


def test_an_unknown_name_that_resembles_none_is_answered_with_all() -> None:
    assert str(errors.UnknownNameError("runtime", "xyz", ["torch"])) == "unknown runtime 'xyz': known are torch"


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    error = errors.MissingExtraError("the runtime 'onnxruntime'", "onnxruntime", "cpu")
    assert str(error) == "the runtime 'onnxruntime' needs the package 'onnxruntime': pip install 'nin-onnx[cpu]'"


def test_the_first_package_that_is_not_installed_is_named() -> None:
    errors.require("a test", "test", "pytest", "hypothesis")
    with pytest.raises(errors.MissingExtraError, match=r"^a test needs the package 'absent': pip install 'nin-onnx\[test\]'$"):
        errors.require("a test", "test", "pytest", "absent", "absent_too")
