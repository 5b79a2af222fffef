"""What the assets may reach: the MIS, Kiva, the ledger. Each opens on demand and is closed after.

Secrets come from the environment by name and are shown by no ``repr``.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from pydantic import Field, PrivateAttr

from kiva_pipeline.assets.launchers import launcher_of, refuse_file_ledger
from kiva_pipeline.field_key import field_key
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.mis.source import Source
from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.process import few_collections
from kiva_pipeline.settings import Secrets, Settings, load_settings
from kiva_pipeline.submission.ledger import Ledger


class PartnerResource(dg.ConfigurableResource["PartnerResource"]):
    """The partner's settings, read again when a run starts."""

    settings_file: str = Field(description="The partner's YAML file.")
    _settings: Settings | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """The process is a run's from here on."""
        few_collections()

    @property
    def settings(self) -> Settings:
        """The validated settings."""
        if self._settings is None:
            self._settings = load_settings(self.settings_file)
        return self._settings

    @property
    def spool_folder(self) -> Path:
        """Where frames are spooled before they are moved into place."""
        return self.settings.frames_folder / ".spool"


class MisResource(dg.ConfigurableResource["MisResource"]):
    """The partner's MIS, read only."""

    partner: PartnerResource

    @contextlib.contextmanager
    def open(self) -> Iterator[Source]:
        """A source for the length of a step."""
        source = open_source(self.partner.settings)
        try:
            yield source
        finally:
            source.close()


class KivaResource(dg.ConfigurableResource["KivaResource"]):
    """Kiva's Partner API: hosts and partner from the settings, secrets from the environment."""

    partner: PartnerResource
    client_id: str = Field(
        description="From KIVA_CLIENT_ID; the sandbox's is well known.", repr=False
    )
    client_secret: str = Field(
        description="From KIVA_CLIENT_SECRET; never write it here. The sandbox's is well known.",
        repr=False,
    )

    _api: PartnerApi | None = PrivateAttr(default=None)

    @property
    def api(self) -> PartnerApi:
        """The client of this run: one token and one connection pool for all its steps."""
        if self._api is None:
            secrets = Secrets(self.client_id, self.client_secret)
            self._api = PartnerApi.open(self.partner.settings, secrets)
        return self._api

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the connections of the run."""
        if self._api is not None:
            self._api.close()
            self._api = None


class LedgerResource(dg.ConfigurableResource["LedgerResource"]):
    """The partner's ledger: what was sent, and what became of it."""

    partner: PartnerResource
    _launcher: str = PrivateAttr(default="")

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """See where the run is."""
        self._launcher = launcher_of(context.instance)

    @contextlib.contextmanager
    def open(self) -> Iterator[Ledger]:
        """The ledger for the length of a step."""
        settings = self.partner.settings
        refuse_file_ledger(self._launcher, settings.ledger_url)
        ledger = Ledger.open(
            settings.ledger_url,
            environment=settings.environment.value,
            partner_id=settings.partner.id,
        )
        try:
            yield ledger
        finally:
            ledger.close()

    @property
    def field_key(self) -> bytes:
        """The key of the ledger's keyed hashes."""
        return field_key(self.partner.settings.state.folder)
