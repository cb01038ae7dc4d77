from tfx.types.artifact import Artifact


class Genotype(Artifact):
    """The searched architecture.

    Files under `uri`: `genotype.json` (`hfmnas_keras.genotype.load_genotype` reads it), and of a search that trained
    candidates the next best as `genotype_2.json` and so on (`load_genotypes`).
    """

    TYPE_NAME = "components.Genotype"
