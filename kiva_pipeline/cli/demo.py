"""``demo``: the whole pipeline on a practice partner, in about a minute."""

import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiva_pipeline.cli.options import AsJson
from kiva_pipeline.cli.show import (
    aside,
    counted,
    print_json,
    print_table,
    say,
    say_whole,
    sentence,
    tell,
    words,
)
from kiva_pipeline.demo_home import DEMO_FOLDER, DEMO_PORT, practice_day

if TYPE_CHECKING:
    from kiva_pipeline.cli.demo_folder import DemoPartner
    from kiva_pipeline.cli.demo_story import Round, Story

_FAILED = 1
_REASONS_SHOWN = 12
_TYPED_BY_HAND = 5
_SENT = "accepted"
_COLUMNS = {
    _SENT: "sent", "held": "held", "missing": "missing", "blocked": "blocked",
    "rejected": "rejected", "already_at_kiva": "already\nat Kiva",
}  # fmt: skip


def demo(
    folder: Annotated[
        Path, typer.Option(help="Made anew; a folder that the demo did not make is left alone.")
    ] = DEMO_FOLDER,
    loans: Annotated[int, typer.Option(min=1, help="How many loans the demo MIS holds.")] = 600,
    seed: Annotated[int, typer.Option(help="Another seed, another portfolio.")] = 7,
    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare", help="Only make the partner, to rehearse going live: send nothing."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    r"""See it work: a month of a demo MIS goes to a sandbox of Kiva's API on this machine.

    It makes a folder with a microfinance database full of the mistakes that real ones have, starts
    the sandbox, adopts what Kiva has already, sends two months through Dagster, runs them again to
    show that nothing is sent twice, corrects the database and shows that only the difference goes.
    It needs no key and reaches no other machine.

    \b
    kiva-pipeline demo
    kiva-pipeline demo --folder practice --loans 2000
    kiva-pipeline demo --folder rehearsal --prepare
    """
    started = time.monotonic()
    tell(f"Making a demo MIS of {counted(loans, 'loan')} and a sandbox of Kiva's API in {folder}/")

    from kiva_pipeline.cli.demo_folder import demo_partner

    if prepare:
        with demo_partner(folder, today=practice_day(), loans=loans, chance=seed) as partner:
            _prepare(partner, as_json=as_json)
        return

    from kiva_pipeline.cli.demo_story import play

    with demo_partner(folder, today=practice_day(), loans=loans, chance=seed) as partner:
        if not partner.url.endswith(f":{DEMO_PORT}"):
            tell(f"Port {DEMO_PORT} is taken: the sandbox is at {partner.url}")
        with aside().status("") as spinner:

            def chapter(title: str) -> None:
                tell(title)
                spinner.update(title)

            story = play(partner, chapter, lambda step: spinner.update(words(step)))
    seconds = time.monotonic() - started
    if as_json:
        print_json(_as_json(partner, story, seconds))
    else:
        _show(partner, story, seconds)
    if not story.proven:
        raise typer.Exit(_FAILED)


def _prepare(partner: "DemoPartner", *, as_json: bool) -> None:
    """Leave a partner who has worked by hand so far, and say how to go on."""
    from kiva_pipeline.practice_adoption import pa2_files, type_drafts_by_hand
    from kiva_pipeline.sandbox.practice import pa2_folder, sandbox_file

    store, pa2 = sandbox_file(partner.folder), pa2_folder(partner.folder)
    typed = type_drafts_by_hand(partner.settings, store, _TYPED_BY_HAND)
    pa2_files(partner.settings, store, pa2)
    if as_json:
        print_json(
            {"folder": str(partner.folder), "settings": str(partner.settings_file),
             "url": partner.url, "typed_by_hand": typed, "pa2": str(pa2)}
        )  # fmt: skip
        return
    say(f"\nA practice partner who has worked by hand so far is in {partner.folder}/", style="bold")
    say(f"   {partner.settings_file}  the settings\n   {pa2}/  what PA2 shows: the drafts that wait"
        f" ({len(typed)}), the last report, the groups' members")  # fmt: skip
    say("\nServe its sandbox in another terminal, then follow docs/go-live.md:", style="bold")
    typer.echo(f"   {_command('kiva-pipeline')} sandbox --folder {_path(partner.folder)}")


def _as_json(partner: "DemoPartner", story: "Story", seconds: float) -> dict[str, Any]:
    return {
        "folder": str(partner.folder),
        "settings": str(partner.settings_file),
        "loans": partner.mis.loans,
        "adopted_loans": story.adopted.loans,
        "adopted_figures": story.adopted.baselines,
        "first_posts": story.first.posts,
        "second_posts": story.second.posts,
        "third_posts": story.third.posts,
        "decisions": [
            {"month": month, "stream": stream, **counts}
            for month, stream, counts in _counts(story.first)
        ],
        "corrections": story.corrections,
        "changes": [
            {"stream": c.stream, "id": c.id, "before": c.before, "now": c.now, "why": c.why}
            for c in story.changes
        ],
        "duplicate_effects": story.duplicates,
        "proven": story.proven,
        "seconds": round(seconds, 1),
    }


def _show(partner: "DemoPartner", story: "Story", seconds: float) -> None:
    adopted, figures = story.adopted.loans, story.adopted.baselines
    say(
        f"\n0. Adopted {counted(adopted, 'loan')} that Kiva has already,"
        f" with {counted(figures, 'last reported figure')}",
        style="bold",
    )
    say("\n1. Two months went to Kiva, and every row has a decision", style="bold")
    print_table(
        ["month", "stream", *_COLUMNS.values()],
        (
            (month, stream, *(counts.get(name, 0) or "" for name in _COLUMNS))
            for month, stream, counts in _counts(story.first)
        ),
        numbers=_COLUMNS.values(),
    )
    _show_reasons(story.first)

    say("\n2. The same two months again", style="bold")
    say(f"   The sandbox received {counted(story.first.posts, 'POST')} before,"
        f" and {counted(story.second.posts, 'POST')} now.")  # fmt: skip

    say("\n3. The MIS was corrected, and only the difference went", style="bold")
    for correction, ids in story.corrections.items():
        say(f"   {', '.join(ids) or 'no loan'}: {correction}")
    say()
    print_table(
        ["stream", "id", "before", "now", "why"],
        ((c.stream, c.id, words(c.before) or "—", "sent" if c.now == _SENT else words(c.now), c.why)
         for c in story.changes),
        texts=["why"],
    )  # fmt: skip
    say(f"   {counted(story.third.posts, 'POST')} this time. Sent twice, by the sandbox's count:"
        f" {len(story.duplicates)}.")  # fmt: skip
    if not story.proven:
        say("\nThis is not what the demo should show. Please report it.", style="bold")
    _show_next(partner.folder, next((c.id for c in story.changes if "/" not in c.id), "LOAN_ID"))
    say(f"\nDone in {seconds:.0f} s.")


def _counts(played: "Round") -> Iterator[tuple[str, str, dict[str, int]]]:
    from kiva_pipeline.reporting.words import STREAMS

    for run in played.runs:
        for kind, decisions in run.decisions.items():
            if counts := {str(k): int(n) for k, n in decisions["decision"].value_counts().items()}:
                yield str(run.month), STREAMS[kind], counts


def _show_reasons(played: "Round") -> None:
    from kiva_pipeline.cli.decisions import unsent

    reasons = Counter(
        (line["decision"], sentence(line["sentence"], _kivas_words(line)))
        for run in played.runs
        for line in unsent(run.decisions)
    )
    say("\n   Why the others stayed, the most frequent reasons:")
    print_table(
        ["rows", "decision", "why"],
        ((n, words(decision), why) for (decision, why), n in reasons.most_common(_REASONS_SHOWN)),
        numbers=["rows"],
        texts=["why"],
    )
    if len(reasons) > _REASONS_SHOWN:
        say(f"   … and {len(reasons) - _REASONS_SHOWN} other reasons: `kiva-pipeline worklist`")


def _kivas_words(line: dict[str, str]) -> str:
    return line["detail"] if line["decision"] == "rejected" else ""


def _show_next(folder: Path, loan_id: str) -> None:
    home, file = folder.absolute() / "dagster", folder.absolute() / "partner.yaml"
    own = _command("kiva-pipeline")
    # Every command finds the demo's folder by itself where it has its usual name.
    settings = "" if folder == DEMO_FOLDER else f" --settings {_path(folder / 'partner.yaml')}"
    say("\nLook at it in Dagster, in two terminals:", style="bold")
    for command in (
        f"{own} sandbox --folder {_path(folder)}",
        (
            f"DAGSTER_HOME={_path(home)} KIVA_PIPELINE_SETTINGS={_path(file)}"
            f" {_command('dagster')} dev -m kiva_pipeline.definitions"
        ),
    ):
        say_whole(f"   {command}")
    say_whole("   then open http://127.0.0.1:3000")
    say("\nOr ask here:", style="bold")
    for command in ("worklist", "status", f"trace {shlex.quote(loan_id)}"):
        say_whole(f"   {own} {command}{settings}")


def _command(name: str) -> str:
    """The command as it works when pasted, with or without the environment activated."""
    beside = Path(sys.executable).parent / name
    on_path = shutil.which(name)
    if on_path and Path(on_path).resolve() == beside.resolve():
        return name
    return _path(beside) if beside.exists() else name


def _path(path: Path) -> str:
    return shlex.quote(str(path))
