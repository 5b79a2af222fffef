"""Opens a ledger when it is told to: ``python -m kiva_pipeline_tests.live.opening LEDGER_URL``."""

import sys

from kiva_pipeline_tests.live.ledgers import ledger_at

if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with ledger_at(sys.argv[1]) as book:
        sys.stdout.write(f"{book.card().ledger_id}\n")
