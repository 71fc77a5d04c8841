"""What to cross: the shipped suites (YAML) and how any suite is found, read and validate."""
