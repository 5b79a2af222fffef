"""The demo, as a newcomer runs it: it proves itself and says so by its exit code."""

import subprocess
import sys


def test_the_demo_sends_once_then_nothing_then_only_the_difference(tmp_path):
    folder = tmp_path / "kiva-demo"
    command = [sys.executable, "-c", "from kiva_pipeline.cli.main import main; main()"]
    done = subprocess.run(
        [*command, "demo", "--folder", str(folder)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "0 POSTs now" in done.stdout
    assert "Sent twice, by the sandbox's count: 0." in " ".join(done.stdout.split())
    assert folder.stat().st_mode & 0o077 == 0
