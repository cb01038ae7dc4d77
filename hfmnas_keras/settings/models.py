"""Names of the fusion models that a run can train (docs/method.md, sections 4, 10, 11)."""

#: Those that are searched, and those whose shape their papers fix.
SEARCHED_MODELS = ("hf_mnas", "bm_nas")
FIXED_MODELS = (
    "unimodal_first",
    "unimodal_second",
    "concatenation",
    "late_average",
    "two_stream",
    "gmu",
    "central_net",
    "mmtm",
)
