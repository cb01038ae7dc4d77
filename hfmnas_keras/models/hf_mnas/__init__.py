"""HF-MNAS while its architecture is searched (`supernet`) and after (`searched_model`)."""
