# Sourced by the other scripts. use_uv PYTHON FOLDER sets `uv` to a uv command: the one on the path, or else one that
# pip installs from the package index into a small environment in FOLDER, made with PYTHON.

# What pip was told (environment or configuration files); pip prints the environment's word first.
_pip_setting() {
    "$1" -m pip config list 2>/dev/null | sed -n "s/^[^=]*\.$2='\(.*\)'\$/\1/p" | head -n 1
}

use_uv() {
    local python=$1 folder=$2 index certificates
    if ! { uv=$(command -v uv) && "$uv" --version >/dev/null 2>&1; }; then
        uv=$folder/bin/uv
        python=$folder/bin/python
        if ! "$uv" --version >/dev/null 2>&1; then
            "$1" -m venv --clear "$folder"
            "$python" -m pip install -qq --retries 1 --disable-pip-version-check uv || {
                echo "The package index cannot be reached (pip could not install uv, see above): check the network, a" \
                    "proxy in https_proxy, or a mirror in pip's index-url." >&2
                return 1
            }
        fi
    fi
    # uv does not read pip's configuration: hand on a mirror and its certificates, which pip was told about.
    index=$(_pip_setting "$python" index-url)
    if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}" ]; then export UV_DEFAULT_INDEX=$index; fi
    certificates=$(_pip_setting "$python" cert)
    if [ -n "$certificates" ] && [ -z "${SSL_CERT_FILE:-}" ]; then export SSL_CERT_FILE=$certificates; fi
}
