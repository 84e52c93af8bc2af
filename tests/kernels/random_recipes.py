"""Values that parameters may have, and recipes with such values, for any step there is."""

from hypothesis import strategies as st
from octostream.kernels.kinds import LARGEST, Choice, Flag, Number, Pixels, Several, Whole
from octostream.kernels.steps import find_step, step_names


def values(kind):
    """Give plain data that a kind takes."""
    if isinstance(kind, Number):
        least, most = int(max(kind.low, -1000)) + 1, int(min(kind.high, 70000))
        whole = st.integers(least, most).filter(lambda n: kind.low < n <= kind.high) if least <= most else st.nothing()
        return st.floats(kind.low, kind.high, exclude_min=kind.above) | whole
    if isinstance(kind, Whole):
        return st.integers(kind.low, int(kind.high))
    if isinstance(kind, Choice):
        return st.sampled_from(kind.options)
    if isinstance(kind, Several):
        return st.lists(values(kind.each), max_size=min(kind.most, 6))
    if isinstance(kind, Pixels):
        return st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=2, max_size=2), max_size=4)
    assert isinstance(kind, Flag), f"what are values of {kind}?"
    return st.booleans()


#: Plain data that most kinds do not take.
anything = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([-LARGEST, LARGEST, 2 * LARGEST, 0.5, 4.0])
    | st.text(max_size=3)
    | st.lists(st.integers(-1, 70) | st.sampled_from(["z", "max", 0.5]), max_size=70)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
)


@st.composite
def recipes(draw):
    """Give the plain data of a recipe of a few steps, as more are seldom at one, with some of their parameters."""
    data = {"name": draw(st.text(st.characters(codec="utf-8", categories=["L", "P", "N"]), min_size=1, max_size=9))}
    for name in draw(st.lists(st.sampled_from(step_names()), unique=True, max_size=5)):
        declared = find_step(name).declared.values()
        told = {p.name: draw(values(p.kind)) for p in declared if draw(st.booleans())}
        data[name] = told or draw(st.sampled_from([{}, True]))
    return data
