"""Telling how a run goes: on the terminal, in the event log, from another process."""
