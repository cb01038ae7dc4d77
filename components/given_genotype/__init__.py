"""A genotype that is given, in place of a search."""
