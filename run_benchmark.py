"""Run the command line from a checkout; an installed package has it as ``run-benchmark``."""

import sys

try:
    from hashattack.benchmark.cli.main import main
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "hashattack":
        raise
    sys.exit(
        "hashattack is not installed; run 'make bench', or 'pip install -e .' in a virtual "
        "environment of your own"
    )

if __name__ == "__main__":
    main()
