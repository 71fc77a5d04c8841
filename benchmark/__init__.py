"""What to run (suites, plan), how it runs (store, jobs, engines) and how it is measured."""
