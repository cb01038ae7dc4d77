"""Layer helpers that several rooms build on: normalisation, positions, depthwise convolution, replicas."""
