"""Watched settings of resources: which columns, what a change of them means, and who made it. Pure.

`values` holds what is remembered, `events` and `authors` who changed it, `meaning` and its neighbours what each change
comes to, `compare` the whole of it.
"""

from auditor.watch.compare import attribute_drift
from auditor.watch.events import EVENTS
from auditor.watch.values import Watched, by_table, lost, plain, watched

__all__ = ["EVENTS", "Watched", "attribute_drift", "by_table", "lost", "plain", "watched"]
