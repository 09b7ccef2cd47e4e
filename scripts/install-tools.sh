#!/usr/bin/env bash
# Installs what the tests and benchmarks need and is not there yet. Safe to run twice; with nothing
# missing it only looks and ends at once.
#
#   scripts/install-tools.sh               everything
#   scripts/install-tools.sh NAME...       only these of scripts/tools.txt, and no packages
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Debian keeps each version of PostgreSQL in a folder of its own.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin$(printf ':%s' /usr/lib/postgresql/*/bin)

# A command that must be there, and the Debian package that brings it.
packages="
    cc              gcc
    make            make
    musl-gcc        musl-tools
    containerd      containerd
    runc            runc
    dockerd         docker.io
    podman          podman
    buildah         buildah
    skopeo          skopeo
    docker-registry docker-registry
    nginx           nginx-light
    wrk             wrk
    busybox         busybox-static
    postgres        postgresql
    mkfs.ext4       e2fsprogs
    python3         python3
"

say() { echo "install-tools: $*"; }
fail() { echo "install-tools: $*" >&2; exit 1; }

missing_packages() {
    echo "$packages" | while read -r command package; do
        [ -z "$command" ] || command -v "$command" >/dev/null || echo "$package"
    done
    # The package `busybox` brings a dynamic one, which does not run in an image of nothing else.
    if command -v busybox >/dev/null && ldd "$(command -v busybox)" >/dev/null 2>&1; then
        echo busybox-static
    fi
    # `python3 -m venv` needs it, and Debian packs it apart.
    python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

install_packages() {
    local missing
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "${missing// /}" ] || return 0
    command -v apt-get >/dev/null ||
        fail "needs \`apt-get\` for: $missing
hint: on another distribution install these with its own package manager"

    local as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    say "installing packages: $missing"
    $as_root apt-get update -q
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $missing
    stop_services "$as_root" "$missing"
}

# Debian starts a service with its package, and docker-registry's takes port 5000, which is ours.
# The tests start their own copies on free ports, so what this script brought is switched off.
stop_services() {
    local as_root=$1 installed=$2 package service
    [ -d /run/systemd/system ] || return 0
    for package in $installed; do
        case $package in
            docker-registry | containerd | postgresql) service=$package.service ;;
            nginx-light) service=nginx.service ;;
            docker.io) service="docker.socket docker.service" ;;
            *) continue ;;
        esac
        # shellcheck disable=SC2086 # a list of words
        $as_root systemctl disable --now $service || say "could not stop $service"
    done
}

# install_tool NAME VERSION BUILDER SOURCE
install_tool() {
    local name=$1 version=$2 builder=$3 source=$4 path folder building
    path=$("$root/scripts/tool-path.sh" "$name")
    [ ! -x "$path" ] || return 0

    folder=${path%/bin/*}
    building=$folder.building.$$
    say "building $name $version"
    rm -rf "$building"
    mkdir -p "$building/bin"
    case $builder in
        go) GOBIN=$building/bin go_quietly install "$source@v$version" ;;
        go-dir) (cd "$root/$source" && go_quietly build -trimpath -o "$building/bin/$name" .) ;;
        cargo) cargo_install "$source" "$version" "$building" ;;
        pip) pip_install "$name" "$source" "$version" "$building" ;;
        *) fail "scripts/tools.txt: $name: unknown builder \`$builder\`; go, go-dir, cargo and pip are known" ;;
    esac
    # A rename at the end: a build that was interrupted is never taken for a tool.
    rm -rf "$folder"
    mv -T "$building" "$folder"
}

go_quietly() {
    command -v go >/dev/null || fail "needs \`go\` (1.26 or newer) to build the clients that the tests use
hint: see https://go.dev/doc/install"
    CGO_ENABLED=0 nice go "$@"
}

cargo_install() {
    command -v cargo >/dev/null || fail "needs \`cargo\`
hint: see https://rustup.rs; rust-toolchain.toml names the version"
    # A build folder of its own, so that neither a flag nor a profile of ours reaches it.
    CARGO_TARGET_DIR=$3/target nice cargo install --quiet --locked --root "$3" --version "$2" "$1"
    rm -rf "$3/target"
}

# A Python program with packages of its own. It starts by a script, for those that pip makes hold the path of their folder,
# which is renamed.
pip_install() {
    command -v python3 >/dev/null || fail "needs \`python3\` for $1
hint: on Debian it is in the packages python3 and python3-venv"
    nice python3 -m venv "$4/python"
    nice "$4/python/bin/pip" install --quiet --disable-pip-version-check "$2==$3"
    cat >"$4/bin/$1" <<'SCRIPT'
#!/bin/sh
name=$(basename "$0")
exec "$(dirname "$0")/../python/bin/python" -c "import sys; from $name.cli import $name; sys.argv[0] = '$name'; $name()" "$@"
SCRIPT
    chmod +x "$4/bin/$1"
}

install_tools() {
    local name version builder source
    while read -r name version builder source <&3; do
        case $name in '' | '#'*) continue ;; esac
        if [ $# -eq 0 ] || [[ " $* " == *" $name "* ]]; then
            install_tool "$name" "$version" "$builder" "$source"
        fi
    done 3<"$root/scripts/tools.txt"
}

[ $# -gt 0 ] || install_packages
install_tools "$@"
