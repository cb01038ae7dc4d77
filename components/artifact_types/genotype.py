from tfx.types.artifact import Artifact


class Genotype(Artifact):
    """The searched architecture.

    Files under `uri`: `genotype.json` (`hfmnas_keras.genotype.load_genotype` reads it).
    """

    TYPE_NAME = "components.Genotype"
