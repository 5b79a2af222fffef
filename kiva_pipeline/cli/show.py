"""How commands talk: answers on standard output, progress and errors on standard error.

What must not break: with ``--json`` standard output holds one JSON document and nothing else; and
what comes from the MIS or from Kiva is shown as plain text, never as mark-up or control codes.
"""

import json
import os
import sys
from collections.abc import Collection, Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

_UNBOUNDED = 10_000  # columns of an output that is no screen
_NARROWEST_TEXT = 24  # columns that a sentence gets on any screen
_GAP = 3  # columns between two columns of a table


def screen() -> Console:
    """Standard output, for people."""
    return _console(stderr=False)


def aside() -> Console:
    """Standard error: progress and errors."""
    return _console(stderr=True)


def say(text: str = "", style: str | None = None, *, hang: int = 0) -> None:
    """Something for people, wrapped at the screen's edge.

    Args:
        text: One or more lines.
        style: Of ``rich``.
        hang: How far the rest of a long line is put in; by default as far as the line begins.
    """
    _print(screen(), text, style, hang)


def tell(text: str) -> None:
    """A line of progress."""
    _print(aside(), text, "dim", 0)


def say_whole(text: str) -> None:
    """A line that is there to be copied: it is never wrapped."""
    screen().print(plain(text), soft_wrap=True)


def print_json(content: object) -> None:
    """The one document of ``--json``."""
    foreign = (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"
    sys.stdout.write(json.dumps(content, ensure_ascii=foreign, indent=2, default=str) + "\n")
    sys.stdout.flush()  # whoever reads it may wait for it while the command goes on


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Collection[str] = (),
    texts: Collection[str] = (),
) -> None:
    """A table that fits 80 columns; nothing where there are no rows.

    In a file or a pipe each row is one line, for ``grep``.

    Args:
        columns: Their headings; a line break makes a heading narrower.
        rows: One value for each column.
        numbers: Columns that are set to the right.
        texts: Columns of sentences: only these are ever wrapped, so that an id or an amount can
            be copied, and found, whole.
    """
    content = [tuple(plain(str(cell)) for cell in row) for row in rows]
    if not content:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    console = screen()
    narrowest = _GAP * (len(columns) - 1)
    for place, name in enumerate(columns):
        cells = [name, *(row[place] for row in content)]
        widest = max(cell_len(line) for cell in cells for line in cell.split("\n"))
        wraps = name in texts and console.width < _UNBOUNDED
        narrowest += min(widest, _NARROWEST_TEXT) if wraps else widest
        table.add_column(
            name, justify="right" if name in numbers else "left", no_wrap=not wraps,
            overflow="fold",
        )  # fmt: skip
    for row in content:
        table.add_row(*row)
    console.width = max(console.width, narrowest)
    with console.capture() as drawn:
        console.print(table)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in drawn.get().splitlines())


def plain(text: str) -> str:
    """A text without what a terminal would obey instead of show; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def words(code: str) -> str:
    """A stable code as words: ``already_at_kiva`` gives ``already at kiva``."""
    return code.replace("_", " ")


def sentence(text: str, detail: str) -> str:
    """A sentence with what is added to it, in brackets."""
    return f"{text} ({detail})" if detail else text


def waits(rows: int) -> str:
    """How many rows wait for a person, as a sentence."""
    return f"{counted(rows, 'row')} {'waits' if rows == 1 else 'wait'} for a person."


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = _UNBOUNDED
    return console


def _print(console: Console, text: str, style: str | None, hang: int) -> None:
    for line in plain(text).split("\n"):
        begins = hang or len(line) - len(line.lstrip())
        width = max(console.width - begins, _NARROWEST_TEXT)
        for number, part in enumerate(_wrapped(line[begins:], width)):
            before = " " * begins if number else line[:begins]
            console.print(f"{before}{part}".rstrip(), style=style, soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    # A word that is too long, such as a path or an id, stays whole.
    parts = [""]
    for number, word in enumerate(text.split(" ")):
        longer = f"{parts[-1]} {word}" if number else word
        if number and cell_len(longer) > width:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts
