"""The demo MIS: a deterministic, dirty, lifelike microfinance database to practise on."""

from kiva_pipeline.sandbox.demo_mis.advance import AdvanceFacts, advance, correct_past
from kiva_pipeline.sandbox.demo_mis.corrections import Correction
from kiva_pipeline.sandbox.demo_mis.dirt import Dirt
from kiva_pipeline.sandbox.demo_mis.facts import DemoFacts, planted
from kiva_pipeline.sandbox.demo_mis.generate import DEFAULT_LOANS, create_demo_mis
from kiva_pipeline.sandbox.demo_mis.kiva_side import loans_at_kiva
from kiva_pipeline.sandbox.demo_mis.spellings import MAPPING

__all__ = [
    "DEFAULT_LOANS",
    "MAPPING",
    "AdvanceFacts",
    "Correction",
    "DemoFacts",
    "Dirt",
    "advance",
    "correct_past",
    "create_demo_mis",
    "loans_at_kiva",
    "planted",
]
