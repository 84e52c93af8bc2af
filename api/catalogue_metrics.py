"""Prometheus metrics of the catalogue, where one is set: what the last look saw, translated when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from .catalogue_watch import LAGS_S, Catalogue, CatalogueState


class CatalogueCollector:
    """Collector over the state of the catalogue.

    Parameters
    ----------
    catalogue : Catalogue
        Where it comes from.
    now_ns : callable
        Wall clock, nanoseconds.
    """

    def __init__(self, catalogue: Catalogue, now_ns: Callable[[], int]) -> None:
        self._catalogue = catalogue
        self._now_ns = now_ns

    def collect(self) -> Iterator[Metric]:
        """Give every metric family."""
        state = self._catalogue.state()
        pending = state.pending
        text = "Entries that wait: to be tried, and for a person."
        entries = GaugeMetricFamily("octostream_catalogue_entries", text, labels=["state"])
        entries.add_metric(["queued"], pending.queued)
        entries.add_metric(["parked"], pending.parked)
        yield entries
        age_s = 0.0 if pending.oldest_ns is None else max(0.0, (self._now_ns() - pending.oldest_ns) / 1e9)
        text = "How long the oldest entry has been waiting; 0 while none waits."
        yield GaugeMetricFamily("octostream_catalogue_oldest_pending_seconds", text, value=age_s)
        text = "Runs that the catalogue has."
        yield GaugeMetricFamily("octostream_catalogue_registered_runs", text, value=state.registered)
        yield _lags(state)


def _lags(state: CatalogueState) -> Metric:
    text = "Time from the last frame of a run until it was complete in the catalogue."
    histogram = HistogramMetricFamily("octostream_catalogue_lag_seconds", text)
    bounds = [*map(repr, LAGS_S), "+Inf"]
    histogram.add_metric([], list(zip(bounds, accumulate(map(float, state.lags)), strict=True)), state.lag_sum_s)
    return histogram
