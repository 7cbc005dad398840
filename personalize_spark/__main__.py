"""The command `personalize-spark`, which is `python -m personalize_spark`, too."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line. It is loaded in here, so that Ctrl-C is answered as such from the first moment."""
    try:
        from personalize_spark.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
