"""A settings file as keys and values, and what is wrong with it in words that name the fix.

What must not break: a value of the file never enters a message unless the key is known to hold no
secret; the key, what was expected and the fix do.
"""

import difflib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from kiva_pipeline.errors import SettingsError


def read_mapping(file: Path, *, how_to_get_one: str) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Args:
        file: The file.
        how_to_get_one: What to do if it is not there.

    Raises:
        SettingsError: It is not there, not readable, not UTF-8, not YAML, names a key twice or
            holds no keys; the message has the line where there is one.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SettingsError(f"There is no settings file {file}.", how_to_get_one) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{file}, line {line}: not UTF-8 text.",
            "Save the file again with the encoding UTF-8 (not Windows-1252 or UTF-16).",
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{file} can't be read ({error.strerror or type(error).__name__}).",
            "It must be a text file that this account may read.",
        ) from error
    try:
        content = yaml.load(text, _OneOfEachKey)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it holds a character that YAML forbids"
        raise SettingsError(
            f"{file}{where}: not readable as YAML ({problem}).",
            "Check the indentation, the quotes and the colons there.",
        ) from None
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: expected keys and values.", "See the README for an example.")
    return {str(key): value for key, value in content.items()}


class _OneOfEachKey(yaml.SafeLoader):
    """YAML takes the last of two equal keys in silence; nobody means that."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:  # fmt: skip
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key.value, str) else id(key))
        return super().construct_mapping(node, deep=deep)


def explain(problem: Any, model: type[BaseModel], why_no_default: Mapping[str, str]) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    """One problem that pydantic found, as one sentence that names the key and the fix.

    Args:
        problem: Of ``ValidationError.errors()``.
        model: What the file was validated against.
        why_no_default: By key, why it has none and how to choose.
    """
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    kind = problem["type"]
    if kind == "missing":
        return f"{key} is missing: {why_no_default.get(key, 'this key has no default')}."
    if kind == "extra_forbidden":
        near = _near(problem["loc"], model)
        return f"{key} is not a key I know" + (f"; did you mean {near}?" if near else ".")
    expected = _EXPECTED.get(kind, "").format_map(problem.get("ctx", {}))
    if not expected:
        expected = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{key}: expected {expected}." if key else f"{expected}."


# By pydantic's name of the problem; any other keeps pydantic's words.
_EXPECTED = {
    "string_type": "a text; write it in quotes",
    "string_too_short": "a text that is not empty",
    "too_short": "a text that is not empty",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "less_than_equal": "a number of at most {le}",
    "greater_than_equal": "a number of at least {ge}",
    "greater_than": "a number above {gt}",
    "string_pattern_mismatch": "another spelling: it must match {pattern}",
    "date_type": "a day such as 2026-10-06",
    "date_parsing": "a day such as 2026-10-06",
    "date_from_datetime_parsing": "a day such as 2026-10-06",
    "date_from_datetime_inexact": "a day such as 2026-10-06, without a time",
    "path_type": "a path in quotes",
    "model_type": "keys and values below it",
    "dict_type": "keys and values below it",
}


def _near(location: tuple[int | str, ...], root: type[BaseModel]) -> str | None:
    model: type[BaseModel] | None = root
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation if model else None
        options = [annotation, *get_args(annotation)]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
        if model is None:
            return None
    close = difflib.get_close_matches(str(location[-1]), model.model_fields if model else [], 1)
    return close[0] if close else None
