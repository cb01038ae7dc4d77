from tfx.types.artifact import Artifact


class SearchReport(Artifact):
    """What the architecture search did: history, probabilities, cost and drawings of the genotype.

    Files under `uri` are those that `hfmnas_keras.search` writes into its report folder.
    """

    TYPE_NAME = "components.SearchReport"
