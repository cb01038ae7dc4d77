"""How a genotype is found: by the bilevel search, or by training candidates alone and keeping the better ones."""
