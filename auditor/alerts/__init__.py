"""Alerts: what changed, told to the people who act. Composed from drift, sent from the outbox."""

from auditor.alerts.compose import Route, compose
from auditor.alerts.deliver import Answer, Delivery, deliver

__all__ = ["Answer", "Delivery", "Route", "compose", "deliver"]
