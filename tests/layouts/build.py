"""Writes made-up data in the layout of a data set, for its presets to run on: `python -m tests.layouts.build -h`.

python -m tests.layouts.build ntu /tmp/data
HFMNAS_DATA=/tmp/data .venv/bin/python -m pipeline.local_runner --config ntu_quick
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable

from tests.layouts import egogesture_folder, harm_folder, mmimdb_folder, mmimdb_hdf5, ntu_folder

#: Writes the data of a preset below a folder, as `HFMNAS_DATA` names it; every split and class has rows.
BUILDERS: dict[str, Callable[[pathlib.Path], pathlib.Path]] = {
    "mmimdb": lambda folder: mmimdb_folder.write_folder(folder / "mmimdb", movies=200),
    "mmimdb_hdf5": lambda folder: mmimdb_hdf5.write_file(folder / "mmimdb", movies=200),
    "harm_p_2": lambda folder: harm_folder.write_folder(folder / "harm", "P", memes=240),
    "harm_p_3": lambda folder: harm_folder.write_folder(folder / "harm", "P", memes=240),
    "harm_c_2": lambda folder: harm_folder.write_folder(folder / "harm", "C", memes=240),
    "harm_c_3": lambda folder: harm_folder.write_folder(folder / "harm", "C", memes=240),
    # Five clips an action.
    "ntu": lambda folder: ntu_folder.write_folder(folder / "ntu", number=300, actions=range(1, 61)),
    # Five segments a gesture.
    "egogesture": lambda folder: egogesture_folder.write_folder(
        folder / "egogesture", number=415, gestures=range(1, 84)
    ),
}


def main() -> None:
    """Writes the data that a command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.layouts.build", description="Writes made-up data.")
    parser.add_argument("preset", choices=BUILDERS)
    parser.add_argument("folder", type=pathlib.Path, help="what HFMNAS_DATA will name")
    arguments = parser.parse_args()
    print(BUILDERS[arguments.preset](arguments.folder))


if __name__ == "__main__":
    main()
