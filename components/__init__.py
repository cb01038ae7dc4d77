"""TFX components of the HF-MNAS pipeline.

Kept light: whoever looks up an artifact type imports this file, and a component is imported from its own folder, for
example `components.trainer.component`.
"""

from components.artifact_types.backbones import Backbones
from components.artifact_types.genotype import Genotype
from components.artifact_types.linear_references import LinearReferences
from components.artifact_types.run_report import RunReport
from components.artifact_types.search_report import SearchReport

__all__ = ["Backbones", "Genotype", "LinearReferences", "RunReport", "SearchReport"]
