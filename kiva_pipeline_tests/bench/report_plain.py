"""The plain script: what a partner's developer writes first.

A new connection for each call, a loop over rows, a commit for each row through SQLAlchemy's ORM.
"""

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import httpx
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from kiva_pipeline_tests.bench.facts import MONTH
from kiva_pipeline_tests.bench.world import Task


class _Base(DeclarativeBase):
    pass


class _Sent(_Base):
    __tablename__ = "sent"

    id: Mapped[int] = mapped_column(primary_key=True)
    loan_id: Mapped[str]
    month: Mapped[str]
    amount: Mapped[Decimal] = mapped_column(sa.Numeric(18, 2))
    upload_id: Mapped[str]
    status: Mapped[str]


def prepare(task: Task) -> None:
    """Its table."""
    with closing(_engine(task).raw_connection()) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # kinder to it than SQLite's default
    _Base.metadata.create_all(_engine(task))


def run(task: Task) -> None:
    """Read, check, post, remember."""
    engine = _engine(task)
    frame = pd.read_sql("SELECT * FROM balances ORDER BY loan_id", sa.create_engine(_mis(task)))
    batch: list[dict[str, object]] = []
    for _, row in frame.iterrows():
        repaid = Decimal(int(row["repaid_minor"]) - int(row["charged_back_minor"])) / 100
        if not row["loan_id"] or repaid < 0 or repaid > Decimal(int(row["disbursed_minor"])) / 100:
            continue
        batch.append({"loan_id": row["loan_id"], "amount": float(repaid)})
        if len(batch) == task.batch:
            _post(task, engine, batch)
            batch = []
    if batch:
        _post(task, engine, batch)


def outcome(task: Task) -> dict[str, int]:
    """What its table says that Kiva has."""
    with _engine(task).connect() as connection:
        rows, total = connection.execute(sa.text("SELECT count(*), sum(amount) FROM sent")).one()
    return {"accepted": rows, "total": round((total or 0) * 100)}


def _post(task: Task, engine: sa.Engine, batch: list[dict[str, object]]) -> None:
    answer = httpx.post(
        f"http://127.0.0.1:{task.port}/v3/partner/145/repayments",
        json={"repayments": batch},
        headers={"Authorization": "Bearer noop"},
    )
    answer.raise_for_status()
    with Session(engine) as session:
        for row in batch:
            session.add(
                _Sent(
                    loan_id=row["loan_id"],
                    month=MONTH,
                    amount=Decimal(str(row["amount"])),
                    upload_id=answer.json()["upload_id"],
                    status="accepted",
                )
            )
            session.commit()


def _engine(task: Task) -> sa.Engine:
    return sa.create_engine(f"sqlite+pysqlite:///{Path(task.folder) / 'plain.sqlite'}")


def _mis(task: Task) -> str:
    return f"sqlite+pysqlite:///{task.mis}"
