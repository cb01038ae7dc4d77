"""The command `hfmnas`.

Modules here import nothing heavy (Keras, TensorFlow, matplotlib) at their top, so that `hfmnas --help` answers at
once: a command imports what it needs when it runs.
"""

from hfmnas_keras.cli.command_line import main

__all__ = ["main"]
