"""Raw texts, pictures and labels to what backbones read, in TensorFlow: one graph to train and to serve."""
