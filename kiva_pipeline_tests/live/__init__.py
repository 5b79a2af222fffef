"""What a live test needs of its machine: a browser, a database server.

What must not break: on a newcomer's machine the want of it skips with a reason; where
``KIVA_PIPELINE_LIVE=required`` says that all was installed, the same want is a failure, so that a
gate can't turn green by testing nothing.
"""

import os

import pytest

LIVE_VARIABLE = "KIVA_PIPELINE_LIVE"
_VALUES = {"": False, "optional": False, "required": True}


def required() -> bool:
    """Whether a live test must run here.

    Raises:
        ValueError: The variable is set to something else, which would silently skip.
    """
    value = os.environ.get(LIVE_VARIABLE, "")
    if value not in _VALUES:
        raise ValueError(f"{LIVE_VARIABLE} is “{value}”. Set it to required, or unset it.")
    return _VALUES[value]


def need(what: object, reason: str) -> None:
    """Go on if it is there; else skip with the reason, or fail where live tests are required.

    ``need(shutil.which("chromium"), "no chromium on this machine: apt-get install chromium")``

    Args:
        what: True (or anything that counts as true) if it is there.
        reason: What is not there and how to get it.
    """
    if what:
        return
    if required():
        pytest.fail(f"{LIVE_VARIABLE}=required, but {reason}", pytrace=False)
    pytest.skip(reason)
