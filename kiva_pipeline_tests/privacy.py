"""Looks for people in what Dagster keeps: its databases, its logs, what its runs printed.

``assert quoted(home, people(world)) == set()``
"""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from kiva_pipeline_tests.worlds import World


def everything_kept(home: Path) -> str:
    """All texts of all tables and files of Dagster's home, with escaped letters as letters."""
    texts = []
    for file in home.rglob("*"):
        if not file.is_file():
            continue
        if file.suffix == ".db":
            with closing(sqlite3.connect(file)) as connection:
                tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                for (table,) in tables.fetchall():
                    for row in connection.execute(f'SELECT * FROM "{table}"'):
                        texts += [str(value) for value in row if isinstance(value, (str, bytes))]
        else:
            texts.append(file.read_text(encoding="utf-8", errors="replace"))
    return re.sub(
        r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), "\n".join(texts)
    )  # letters that JSON escapes


def people(world: World) -> set[str]:
    """Every name of the demo MIS, and the texts about its borrowers."""
    with closing(sqlite3.connect(world.mis)) as connection:
        columns = (
            ("clients", "first_name"), ("clients", "last_name"), ("groups", "name"),
            ("loans", "description"), ("notes", "body"), ("notes", "subject"),
        )  # fmt: skip
        return {
            text.strip()
            for table, column in columns
            for (text,) in connection.execute(f"SELECT {column} FROM {table}")
            if text and text.strip()
        }


def quoted(home: Path, words: set[str]) -> set[str]:
    """Those of the words that stand in what Dagster keeps, as words of their own."""
    kept = everything_kept(home)
    assert "loan_drafts" in kept
    return {
        word
        for word in words
        if word in kept and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", kept)
    }
