"""Tunes what is not searched: settings of the final model, chosen on dev by KerasTuner."""
