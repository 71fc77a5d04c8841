"""What to run, how it runs, and how it is measured.

What to run: ``suites`` → ``planning`` (cells, jobs, keys) → ``stages`` (what a job does).
How it runs: ``storage`` (the truth about what is done), ``engines``, ``schedule``, ``watch``.
How it is measured: ``hamming``, ``metrics``, ``audit``, ``statistics``, ``perf``.
What is made of it: ``results`` (rows), ``regression`` (better or worse), ``external`` (what other
code made), ``contract`` (does a plug-in keep it), all told by ``commands``.
"""
