"""What several fusion models are built from: grids, taps, mitigation, sequence encoder, and what a supernet is."""
