"""How the process of a run goes about its memory."""

import gc

# Frames, rows and requests make millions of objects and hardly a cycle: looking for cycles as often
# as Python does by itself costs a tenth of a run.
_NEW_OBJECTS, _YOUNG, _MIDDLE = 100_000, 20, 50


def few_collections() -> None:
    """Look for garbage seldom, and never again among what the imports have left.

    Call it once in a process that makes a run, when everything is imported.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _YOUNG, _MIDDLE)
