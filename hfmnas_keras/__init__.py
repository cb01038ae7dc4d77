"""HF-MNAS in Keras 3: the method, free of any pipeline."""

__version__ = "0.1.0"
