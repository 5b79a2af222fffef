"""Opens the source that the settings name; the only place that knows which kinds there are."""

from kiva_pipeline.mis.aliases import AliasedSource, load_aliases
from kiva_pipeline.mis.demo import DemoSource
from kiva_pipeline.mis.source import Source
from kiva_pipeline.settings import Settings


def open_source(settings: Settings) -> Source:
    """Open the partner's MIS for reading; whoever opens it closes it.

    Raises:
        SourceUnavailableError: The MIS does not answer or its file is not there.
        SourceError: The MIS is not as the settings say; the message names the table or column.
        SettingsError: The file of ``source.id_aliases`` can't be used; its lines are named.
    """
    aliases = load_aliases(settings.source.id_aliases) if settings.source.id_aliases else None
    types = settings.repayments.transaction_types
    source = DemoSource(settings.source.path, settings.journals.mark, types)
    return AliasedSource(source, aliases) if aliases else source
