"""``sandbox``: the practice Kiva, served until Ctrl-C."""

import json
import signal
import socket

import httpx
import pytest

from kiva_pipeline_tests.cli.terminal import kiva, start


def test_it_serves_the_demos_kiva_until_ctrl_c(world):
    served = start("sandbox", "--folder", world.folder, "--port", "0", "--json")
    told = json.JSONDecoder().raw_decode("".join(served.stdout.readline() for _ in range(4)))[0]
    facts = httpx.get(f"{told['url']}/_sandbox/facts").json()
    assert set(facts) == set(world.facts())
    assert told["store"] == str(world.sandbox)
    served.send_signal(signal.SIGINT)
    out, err = served.communicate()
    assert (served.returncode, out, err) == (0, "", "")


def test_people_are_told_where_it_is_and_that_the_settings_say_another_place(world):
    served = start("sandbox", "--folder", world.folder, "--port", "0")
    first, second = served.stdout.readline(), served.stdout.readline()
    assert first.startswith("The sandbox of partner 145 is at http://127.0.0.1:")
    assert "Stop it with Ctrl-C." in first
    assert world.url in second
    served.send_signal(signal.SIGINT)
    out, _ = served.communicate()
    assert "The sandbox has stopped." in out


def test_a_port_that_is_taken_is_named_with_a_way_out(world):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = kiva("sandbox", "--folder", world.folder, "--port", port)
    assert (done.code, done.out) == (1, "")
    assert f"can't listen on 127.0.0.1:{port}" in done.error
    assert "choose another one" in done.error


@pytest.mark.parametrize("what", ["nothing", "a file", "a folder of others", "no sandbox file"])
def test_a_folder_without_a_demo_is_told_how_to_get_one(world, tmp_path, what):
    folder = tmp_path / "kiva-demo"
    if what == "a file":
        folder.write_text("x")
    elif what != "nothing":
        folder.mkdir()
    if what == "no sandbox file":
        (folder / "partner.yaml").write_text(world.settings_file.read_text())
    done = kiva("sandbox", "--folder", folder)
    assert (done.code, done.out) == (1, "")
    assert f"There is no sandbox in {folder}" in done.error
    assert "kiva-pipeline demo" in done.error
