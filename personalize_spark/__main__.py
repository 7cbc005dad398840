"""`python -m personalize_spark` is the command `personalize-spark`."""

from __future__ import annotations

import sys

from personalize_spark.cli.main import main

sys.exit(main())
