from tfx.types.artifact import Artifact


class Genotype(Artifact):
    """The searched architecture.

    Files under `uri`: `genotype.json` (see `hfmnas_keras.genotype.genotype.Genotype`).
    """

    TYPE_NAME = "components.Genotype"
