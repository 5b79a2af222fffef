"""How commands talk: answers on standard output, progress and errors on standard error.

What must not break: with ``--json`` standard output holds one JSON document and nothing else; and
what comes from the MIS or from Kiva is shown as plain text, never as mark-up or control codes.
"""

import json
import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def screen() -> Console:
    """Standard output, for people."""
    return Console(markup=False, highlight=False, emoji=False)


def aside() -> Console:
    """Standard error: progress and errors."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def say(text: str = "", style: str | None = None) -> None:
    """A line for people."""
    screen().print(plain(text), style=style)


def tell(text: str) -> None:
    """A line of progress."""
    aside().print(plain(text), style="dim")


def print_json(content: object) -> None:
    """The one document of ``--json``."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[str] = ()
) -> None:
    """A table that is readable at 80 columns; nothing where there are no rows."""
    content = [tuple(plain(str(cell)) for cell in row) for row in rows]
    if not content:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        right = name in set(numbers)
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in content:
        table.add_row(*row)
    screen().print(table)


def plain(text: str) -> str:
    """A text without what a terminal would obey instead of show; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def words(code: str) -> str:
    """A stable code as words: ``already_at_kiva`` gives ``already at kiva``."""
    return code.replace("_", " ")


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
