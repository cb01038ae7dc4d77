from tfx.types.artifact import Artifact


class Backbones(Artifact):
    """Pre-trained unimodal backbones with their heads.

    Files under `uri`:
      - `{modality}/reference.keras`: fitted on the whole train split; serves and reads every other split.
      - `{modality}/fold_{k}.keras`: fitted without fold k, which it alone reads (docs/method.md, section 3).
      - `backbones.json`: folds, scores of the heads on train and dev, curves, warnings.

    Custom properties: `modalities` (comma-separated) and `{modality}_dev_f1_m` (float).
    """

    # A Kubeflow pipeline reads this name as an import path with exactly one dot: `components.Backbones`.
    TYPE_NAME = "components.Backbones"
