"""What a run can train: the registry beside the models, `hf_mnas`, `bm_nas` and `baselines`, and their shared parts."""
