#!/usr/bin/env bash
# Runs a command (default: make test) for this checkout on stack B where the system's C library is too old for it: in a
# Debian 13 root, entered by chroot. Needs root on a Debian or Ubuntu machine. The root is kept for the next time in
# ${HFMNAS_CACHE:-~/.cache/hfmnas}/trixie; delete that folder to start anew.
#
#   scripts/test_b.sh                     # make test
#   scripts/test_b.sh make demo
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
checkout=$PWD
cache=${HFMNAS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hfmnas}
root=$cache/trixie
[ $# -gt 0 ] || set -- make test

fail() {
    echo "test_b: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "making and entering a Debian root needs root: run this as root, or run \`make test\` on a" \
    "system with glibc 2.39 or newer (Debian 13, Ubuntu 24.04), which takes stack B by itself."
mkdir -p "$cache"
exec 9<"$cache"
flock 9

if [ ! -d "$root" ]; then
    if ! command -v debootstrap >/dev/null; then
        apt-get install --yes --quiet debootstrap >/dev/null ||
            fail "debootstrap is missing and apt-get could not install it (see above)."
    fi
    free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
    [ "$free" -ge 7 ] || fail "the root and its packages take about 7 GB, and only $free GB are free in $cache."
    echo "test_b: making a Debian 13 root in $root (a minute or three)"
    rm -rf "$root.part"
    debootstrap --variant=minbase --include=python3,python3-venv,python3-dev,g++,make,ca-certificates,git \
        trixie "$root.part" >"$cache/debootstrap.log" 2>&1 || fail "debootstrap failed: read $cache/debootstrap.log."
    mv "$root.part" "$root"
fi

# The mounts below live in a mount namespace of their own and end with this script, whatever happens to it.
if [ -z "${HFMNAS_OWN_MOUNTS:-}" ]; then
    exec env HFMNAS_OWN_MOUNTS=1 unshare --mount --propagation private "$checkout/scripts/test_b.sh" "$@"
fi
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"

# What makes the package index reachable here makes it reachable inside: names, certificates, pip's configuration, and
# folders that it names.
home=/root
inside=(HOME=$home PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
while IFS= read -r -d '' variable; do
    case ${variable%%=*} in
        PIP_* | UV_* | SSL_CERT_* | *_CA_BUNDLE | PYTHONDONTWRITEBYTECODE | ARGS | [Hh][Tt][Tt][Pp]*_[Pp][Rr][Oo][Xx][Yy] | [Nn][Oo]_[Pp][Rr][Oo][Xx][Yy])
            inside+=("$variable")
            ;;
    esac
done < <(env -0)
settings=$(
    python3 -m pip config list 2>/dev/null || true
    cat /etc/pip.conf "$HOME/.pip/pip.conf" "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf" 2>/dev/null || true
    printf '%s\n' "${inside[@]}"
)
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    [ -e "$file" ] && cp -L "$file" "$root$file"
done
for file in "$HOME/.pip/pip.conf" "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf"; do
    [ -e "$file" ] && mkdir -p "$root$home/.config/pip" && cp -L "$file" "$root$home/.config/pip/pip.conf"
done
for path in $(grep -oE "(^|[= '\"]|file://)/[^ '\",]+" <<<"$settings" | sed -E "s|^[= '\"]*(file://)?||" | sort -u); do
    # Only a cache, an index or links: the root has its own /root, /usr and certificate folder.
    case $path in /root | /usr/* | /etc/ssl/certs | /bin* | /sbin*) continue ;; esac
    if [ -d "$path" ]; then
        mkdir -p "$root$path"
        mount --bind --options ro "$path" "$root$path"
    elif [ -f "$path" ] && [ ! -e "$root$path" ]; then
        mkdir -p "$root$(dirname "$path")"
        cp -L "$path" "$root$path"
    fi
done

# The checkout as it stands, with what is not committed yet and without what git ignores. The environment inside stays.
mkdir -p "$root/hf-mnas"
find "$root/hf-mnas" -mindepth 1 -maxdepth 1 ! -name .venv ! -name runs -exec rm -rf {} +
git ls-files --cached --others --exclude-standard -z |
    while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done |
    tar --create --null --files-from - | tar --extract --no-same-owner --directory "$root/hf-mnas"
chroot "$root" /usr/bin/env -i "${inside[@]}" sh -c 'cd /hf-mnas && exec "$@"' sh "$@"
