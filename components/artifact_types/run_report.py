from tfx.types.artifact import Artifact


class RunReport(Artifact):
    """One run told to a person (`report.html`, self-contained) and to a program (`summary.json`)."""

    TYPE_NAME = "components.RunReport"
