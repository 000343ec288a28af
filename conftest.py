"""What every test here shares."""

from __future__ import annotations

import os

# Threads that wait for each other cost tiny models more than they save, above all on a machine
# that tests already keep busy. Set before torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
