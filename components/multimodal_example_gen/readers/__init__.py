"""Readers of single files: pictures, clips, skeletons, HDF5 rows, within bounds."""
