"""Alerts: what changed, told to the people who act. Composed from drift, sent from the outbox."""

from auditor.alerts.compose import compose
from auditor.alerts.deliver import Answer, Delivery, deliver
from auditor.alerts.due import remind
from auditor.alerts.routes import Route

__all__ = ["Answer", "Delivery", "Route", "compose", "deliver", "remind"]
