"""`python -m hfmnas_keras` is the command `hfmnas`."""

from hfmnas_keras.cli import main

if __name__ == "__main__":
    main(prog_name="hfmnas")
