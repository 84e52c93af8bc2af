"""The beginning of somebody's own reduction: a step that works, and its contract test."""

from __future__ import annotations

from importlib.resources import files

from ..stream.errors import RecipeError
from .offers import may_be_called
from .steps import step_names


def template_texts(name: str, module: str) -> tuple[str, str]:
    """Give the text of two Python files.

    Parameters
    ----------
    name : str
        Of the step.
    module : str
        Of the first file, as Python imports it.

    Returns
    -------
    step, test : str
        The step, with how to register it, and a test file for it; both work as they are.

    Raises
    ------
    RecipeError
        If a step cannot have that name, or there is one.
    """
    if not may_be_called(name):
        raise RecipeError(f"a step cannot be called '{name}'", "use small letters, digits and underscores")
    if name in step_names():
        raise RecipeError(f"there is a step '{name}'", "give it another name")
    folder = files("octostream.kernels") / "recipes"
    texts = [(folder / file).read_text(encoding="utf-8") for file in ("reduction.py.txt", "test_reduction.py.txt")]
    step, test = (text.replace("NAME", name).replace("MODULE", module) for text in texts)
    return step, test
