"""From a metric of the catalogue and what was counted to what prometheus-client writes."""

from collections.abc import Sequence

from prometheus_client.core import HistogramMetricFamily

from runtime.metrics.catalogue import Family, Metric
from runtime.metrics.tallies import Histogram


def value_of(metric: Metric, value: float) -> Family:
    """Return a gauge without labels."""
    family = metric.gauge()
    family.add_metric((), value)
    return family


def count_of(metric: Metric, value: float) -> Family:
    """Return a counter without labels."""
    family = metric.counter()
    family.add_metric((), value)
    return family


def histogram_of(metric: Metric, histogram: Histogram) -> Family:
    """Return a histogram without labels."""
    family = metric.histogram()
    fill(family, (), histogram)
    return family


def fill(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    """Add what was counted under some labels."""
    buckets, total = histogram.cumulated()
    family.add_metric(labels, buckets, total)
