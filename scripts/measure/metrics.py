"""What halfopend's metrics say."""

import re
import sys
import urllib.request

METRICS = "http://127.0.0.1:10115/metrics"


def read_lags():
    """The same as `lags_in`, now."""
    with urllib.request.urlopen(METRICS, timeout=30) as answer:
        return lags_in(answer.read().decode())


def lags_in(text):
    """How many checks were late by at most so many seconds."""
    buckets = re.findall(r'^halfopen_schedule_lag_seconds_bucket{le="([^"]+)"} (\d+)', text, re.MULTILINE)
    if not buckets:
        sys.exit("bench: halfopend does not say how late its checks are")
    return {float(bound): int(count) for bound, count in buckets}


def percentile(percentage, before, after):
    """The least bound that so many of the checks between two readings keep."""
    new = {bound: after[bound] - before[bound] for bound in after}
    return min(bound for bound, count in new.items() if count * 100 >= percentage * new[float("inf")])
