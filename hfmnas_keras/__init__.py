"""HF-MNAS in Keras 3: the method, free of any pipeline."""
