"""Settings of the method by stage, frozen dataclasses that check themselves; import them from their own file.

Defaults are the paper's (Long et al., 2025, section V-A-2) where the paper has one and nothing better was measured.
"""
