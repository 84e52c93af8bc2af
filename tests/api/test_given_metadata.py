"""What ``acquire --meta`` takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.api.given_metadata import given_metadata
from octostream.stream.errors import UsageError


def test_bytes_that_are_no_characters_are_refused():
    with pytest.raises(UsageError, match=r"--meta 'a=\\udcff' is no text"):
        given_metadata(["a=\udcff"])


@given(st.from_regex(r"[a-z_][a-z0-9_ .()%-]{0,20}", fullmatch=True), st.text(st.characters(codec="utf-8")))
def test_a_field_is_kept_to_the_letter(key, value):
    assert given_metadata([f"{key}={value}"]) == {key.strip(): value}


def test_fields_and_files_come_together_and_later_ones_win(tmp_path):
    toml, json = tmp_path / "a=b.toml", tmp_path / "meta.json"
    toml.write_text('sample = "fish"\nviews = 2\ndetection_na = 1.1\nexcitation_nm = [488, 561.5]\nlive = true\n')
    json.write_text('{"sample": "mouse", "fluorophores": ["GFP", "mCherry"]}')
    assert given_metadata(["views=3", str(toml), "sample=yeast", "note=a=b.toml"]) == {
        "views": 2,
        "sample": "yeast",
        "detection_na": 1.1,
        "excitation_nm": "488, 561.5",
        "live": True,
        "note": "a=b.toml",
    }
    assert given_metadata(["sample=x", str(json)]) == {"sample": "mouse", "fluorophores": "GFP, mCherry"}
    assert given_metadata(()) == {}


@pytest.mark.parametrize(
    ("argument", "content", "said"),
    [
        ("sample", None, "neither KEY=VALUE nor"),
        ("=3", None, "neither KEY=VALUE nor"),
        ("none.toml", None, "cannot be read (No such file or directory)"),
        ("f.toml", "sample", "is not TOML"),
        ("f.json", "{", "is not JSON"),
        ("f.json", "[1]", "holds no fields"),
        ("f.json", "[" * 100_000, "is not JSON"),
        ("f.toml", "a = 2026-01-01", "'a' is date: give text, a number"),
        ("f.toml", "[laser]\nnm = 488", "'laser' is dict"),
        ("f.json", '{"a": null}', "'a' is NoneType"),
        ("f.json", '{"a": []}', "'a' is list"),
        ("f.json", '{"a": [[1]]}', "'a' is list"),
        ("f.json", '{"a": NaN}', "'a' is nan"),
        ("f.toml", "a = -inf", "'a' is -inf"),
        ("f.toml", "a = [1, nan]", "'a' is list"),
        ("f.json", '{"a": 9223372036854775808}', "'a' is 9223372036854775808"),
        ("f.json", r'{"a": "fish \ud800"}', r"'a' is 'fish \ud800', which is no text"),
        ("f.json", r'{"a": ["fish", "\udfff"]}', "'a' is list"),
        ("f.json", r'{"a\ud800": "fish"}', r"the key 'a\ud800' is no text"),
    ],
)
def test_what_is_neither_is_refused_in_one_line_that_names_it(tmp_path, monkeypatch, argument, content, said):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / argument).write_text(content)
    with pytest.raises(UsageError) as refused:
        given_metadata([argument])
    assert said in str(refused.value)
    assert argument in str(refused.value)
    assert "\n" not in str(refused.value)
