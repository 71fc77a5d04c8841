"""Reporting a run as it goes: events, their log, and what the terminal shows."""
