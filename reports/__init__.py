"""From stored results to a tidy table, leaderboards and figures. Imports no torch."""
