"""The HF-MNAS pipeline: what a run is (`config`), what it consists of (`definition`) and the runners."""
