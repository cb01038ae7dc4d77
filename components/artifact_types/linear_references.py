from tfx.types.artifact import Artifact


class LinearReferences(Artifact):
    """Logistic regression on simple features of each modality and of both, fitted on train, tuned on dev.

    Files under `uri`, which `components.linear_references.references.LinearReferences` reads:
      - `references.json`: classes, modalities; by model its strength, threshold and dev macro F1.
      - `references.npz`: coefficients, intercepts and what scales the features, plain arrays.
      - `words.json`: the words of the texts, in the order of their columns.
    """

    TYPE_NAME = "components.LinearReferences"
