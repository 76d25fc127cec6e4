"""``python -m tracenet_bench.measure.browser``."""

import sys

from tracenet_bench.measure.browser.cli import main

sys.exit(main())
