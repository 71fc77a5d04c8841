"""The contract of plug-ins: ``check_*`` functions that pytest and ``check-plugin`` both run."""
