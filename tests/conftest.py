from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """What was collected stays to the end: who collects garbage need not look at it, which takes long."""
    gc.collect()
    gc.freeze()
