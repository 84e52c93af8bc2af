import http.client
import random
from urllib.error import HTTPError, URLError
from xml.sax import SAXParseException
from xml.sax.saxutils import unescape
from xml.sax.xmlreader import Locator

import icat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octostream.sinks.catalogue.failures import REFUSED_TRIES, UNFORESEEN_TRIES, ParkedError, judge
from octostream.sinks.catalogue.storable import java_length
from octostream.sinks.catalogue.text import checked, literal, shortened
from octostream.sinks.catalogue.weather import FIRST_S, LONGEST_S, Weather, pause_s


def fault(kind):
    return kind({"code": "X", "message": "said so"})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (URLError("refused"), "away"),
        (HTTPError("u", 503, "no", {}, None), "away"),
        (TimeoutError("timed out"), "away"),
        (ConnectionResetError(), "away"),
        (http.client.RemoteDisconnected("gone"), "away"),
        (Exception((502, "Bad Gateway")), "away"),
        (SAXParseException("<html>", None, Locator()), "away"),
        (fault(icat.ICATSessionError), "login"),
        (fault(icat.ICATInternalError), "again"),
        (fault(icat.ICATNoObjectError), "again"),
        (icat.SearchResultError("nothing"), "again"),
        (fault(icat.ICATValidationError), "park"),
        (fault(icat.ICATParameterError), "park"),
        (fault(icat.ICATPrivilegesError), "park"),
        (fault(icat.ICATNotImplementedError), "park"),
        (ParkedError("no investigation", "create it"), "park"),
    ],
)
def test_each_failure_means_something(error, kind):
    assert judge(error, 1).kind == judge(error, 7).kind == kind


def test_what_nobody_foresaw_is_tried_a_few_times():
    kinds = [judge(KeyError("x"), attempts).kind for attempts in range(1, UNFORESEEN_TRIES + 3)]
    assert kinds == ["again"] * (UNFORESEEN_TRIES - 1) + ["park"] * 3
    assert judge(Exception("no status"), 1).kind == "again"


def test_internal_errors_are_left_to_a_person_in_the_end():
    error = fault(icat.ICATInternalError)
    assert [judge(error, n).kind for n in (REFUSED_TRIES - 1, REFUSED_TRIES)] == ["again", "park"]


def test_what_is_parked_says_what_to_do():
    for kind in (icat.ICATValidationError, icat.ICATPrivilegesError, icat.ICATParameterError):
        assert "octostream catalogue retry" in judge(fault(kind), 1).remedy
    failure = judge(ParkedError("no investigation", "create it"), 1)
    assert (failure.reason, failure.remedy) == ("no investigation", "create it")


def test_reasons_are_one_short_line():
    reason = judge(Exception((502, "<html>\n" + "x" * 10_000)), 1).reason
    assert len(reason) <= 500
    assert "\n" not in reason


@given(st.integers(1, 10_000), st.integers(0, 100))
def test_pauses_grow_to_a_limit_and_are_never_the_same_for_all(failures, seed):
    pause = pause_s(failures, LONGEST_S, random.Random(seed))
    full = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 32))
    assert full / 2 <= pause <= full


def test_an_answer_ends_bad_weather():
    weather = Weather(random.Random(1))
    for now in (0.0, 10.0, 20.0):
        weather.away(now)
        assert now < weather.until_s <= now + LONGEST_S
    weather.answered()
    assert (weather.failures, weather.until_s) == (0, 0.0)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=300))
def test_a_literal_is_the_text_and_ends_where_it_ends(text):
    quoted = literal(text)
    assert quoted[0] == quoted[-1] == "'"
    assert quoted[1:-1].replace("''", "").count("'") == 0
    assert unescape(quoted[1:-1]).replace("''", "'") == unescape(text)


@pytest.mark.parametrize("text", ["cr\r", "🔬" * 2001, "\0", "a\x1fb", "\ud800", "\ufffe", "x" * 4001])
def test_what_no_message_can_carry_is_refused(text):
    with pytest.raises(ParkedError):
        checked(text)


@given(st.text(max_size=600))
def test_a_shortened_text_fits_and_can_be_sent(text):
    short = shortened(text)
    assert java_length(short) <= 255
    checked(short)
