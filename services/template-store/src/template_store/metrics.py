"""What the store tells: its templates, whether each library follows its changes, and how searches end."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reasonflux import tracing
from reasonflux.contracts import SearchResponse
from reasonflux.measuring import SHORT_SECONDS
from template_store.libraries import Libraries

_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


class SearchMetrics:
    """Libraries are made by the operator, so there are few enough of them for a label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "reasonflux_search_seconds",
            "Seconds of a search, embedding included",
            registry=registry,
            buckets=SHORT_SECONDS,
        )
        self._queries = Counter(
            "reasonflux_search_queries",
            "Queries: chosen, or abstained where the best template stays below the threshold",
            ("library", "outcome"),
            registry=registry,
        )
        self._scores = Histogram(
            "reasonflux_search_score",
            "Calibrated score of each query's best template",
            ("library",),
            registry=registry,
            buckets=_SCORES,
        )

    def searched(self, library: str, response: SearchResponse, seconds: float) -> None:
        self._seconds.observe(seconds, tracing.exemplar())
        for retrieval in response.retrievals:
            chosen, abstained = (self._queries.labels(library, outcome) for outcome in ("chosen", "abstained"))
            (abstained if retrieval.template is None else chosen).inc()
            if retrieval.candidates:
                self._scores.labels(library).observe(retrieval.candidates[0].score)


class LibraryMetrics(Collector):
    """The libraries that are open here, as of when somebody looks."""

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries

    def collect(self) -> Iterator[GaugeMetricFamily]:
        templates = GaugeMetricFamily(
            "reasonflux_templates", "Templates of each library by status", labels=["library", "status"]
        )
        revision = GaugeMetricFamily(
            "reasonflux_library_revision",
            "The latest change of the library that this process has applied",
            labels=["library"],
        )
        following = GaugeMetricFamily(
            "reasonflux_library_following", "1 while this process follows the library's changes", labels=["library"]
        )
        for replica in self._libraries.replicas():
            info = replica.info()
            revision.add_metric([info.name], info.revision)
            following.add_metric([info.name], float(replica.trouble is None))
            for status, count in info.counts.items():
                templates.add_metric([info.name, status.value], count)
        yield from (templates, revision, following)
