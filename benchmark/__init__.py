"""What to run, how it runs, how it is measured; CONTRIBUTING.md shows the packages."""
