"""What leaves the method: the SavedModel that is evaluated, checked, pushed and served."""
