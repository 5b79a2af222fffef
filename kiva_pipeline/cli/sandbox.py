"""``sandbox``: a Partner API on this machine, to practise on."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from kiva_pipeline.cli.options import AsJson
from kiva_pipeline.cli.show import print_json, say
from kiva_pipeline.demo_home import DEMO_FOLDER, demo_settings_file
from kiva_pipeline.errors import PipelineError
from kiva_pipeline.settings import Settings, load_settings


def sandbox(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where `kiva-pipeline demo` made its partner.")
    ] = DEMO_FOLDER,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Instead of the one in its partner.yaml."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    r"""Serve the demo's sandbox until Ctrl-C: the Partner API that runs of the demo talk to.

    \b
    kiva-pipeline sandbox
    kiva-pipeline sandbox --folder kiva-demo --port 9000
    """
    from kiva_pipeline.sandbox.practice import sandbox_file
    from kiva_pipeline.sandbox.server import LOOPBACK, create_app, listen, server_of

    file, store = demo_settings_file(folder), sandbox_file(folder)
    if not file.is_file() or not store.is_file():
        raise PipelineError(
            f"There is no sandbox in {folder}: no demo was made there.",
            "Run `kiva-pipeline demo` to make one, or name the demo's folder by --folder.",
        )
    settings = load_settings(file)
    its_own = urlsplit(settings.hosts.base_url).port or 80
    with listen(LOOPBACK, its_own if port is None else port) as listening:
        url = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
        try:
            if as_json:
                print_json({"url": url, "store": str(store)})
            else:
                _tell(settings, url)
            server_of(create_app(store)).run(sockets=[listening])
        except KeyboardInterrupt:
            if not as_json:
                say("The sandbox has stopped.")


def _tell(settings: Settings, url: str) -> None:
    say(f"The sandbox of partner {settings.partner.id} is at {url}. Stop it with Ctrl-C.")
    if url != settings.hosts.base_url:
        say(f"The settings say {settings.hosts.base_url}: change `api:` there to use it.")
