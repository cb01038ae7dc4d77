"""Training loops: unimodal backbones, searched models, and what they share."""
