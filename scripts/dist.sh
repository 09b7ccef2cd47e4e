#!/usr/bin/env bash
# Makes dist/: for each platform a static binary and an archive of it, and checksums of all.
#
#   scripts/dist.sh                  every platform that this machine has the tools for
#   scripts/dist.sh amd64            only this one, and it is an error if it cannot be made
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
target_folder=${CARGO_TARGET_DIR:-target}
out=dist

say() { echo "dist: $*"; }

triple() {
    case $1 in
        amd64) echo x86_64-unknown-linux-musl ;;
        arm64) echo aarch64-unknown-linux-musl ;;
        *) echo "dist: unknown platform \`$1\`; amd64 and arm64 are known" >&2; exit 1 ;;
    esac
}

# Prints what keeps this machine from building for a platform; nothing if it can.
obstacle() {
    local triple
    triple=$(triple "$1")
    if ! ls "$(rustc --print target-libdir --target "$triple")"/libstd-*.rlib >/dev/null 2>&1 &&
        ! rustup target add "$triple" >/dev/null 2>&1; then
        echo "Rust's standard library for $triple is not there (\`rustup target add $triple\`)"
    elif [ -z "$(c_compiler "$triple")" ]; then
        echo "no C compiler for $triple: \`${triple%%-*}-linux-musl-gcc\`, \`zig\`, or musl-tools on that machine"
    fi
}

# The C parts (SQLite, aws-lc, mimalloc) must see musl's headers, not those of this machine's glibc.
c_compiler() {
    local architecture=${1%%-*} wrapper
    if command -v "$architecture-linux-musl-gcc"; then
        return
    elif [ "$architecture" = "$(uname -m)" ] && command -v musl-gcc; then
        return
    elif command -v zig >/dev/null; then
        # zig has its own names for platforms and takes no other `--target`.
        wrapper=$(realpath -m "$target_folder")/zig-cc-$architecture
        mkdir -p "$target_folder"
        cat >"$wrapper" <<EOF
#!/usr/bin/env bash
arguments=()
for argument; do case \$argument in --target=*) ;; *) arguments+=("\$argument") ;; esac; done
exec zig cc -target $architecture-linux-musl "\${arguments[@]}"
EOF
        chmod +x "$wrapper"
        echo "$wrapper"
    fi
}

build() {
    local platform=$1 triple cc name variable flags=
    triple=$(triple "$platform")
    cc=$(c_compiler "$triple")
    name=entrepot-$version-linux-$platform
    variable=${triple//-/_}

    # Only the compiler is musl's: as the linker it would make a binary that wants ld-musl.so. Another
    # architecture is linked by Rust's own linker, since this machine's knows only its own.
    [ "${triple%%-*}" = "$(uname -m)" ] || flags="-C linker=rust-lld -C linker-flavor=ld.lld"
    say "building $name"
    env "CC_$variable=$cc" \
        "CARGO_TARGET_$(echo "$variable" | tr '[:lower:]' '[:upper:]')_RUSTFLAGS=$flags" \
        cargo build --locked --release --bin entrepot --target "$triple"

    rm -rf "${out:?}/$name"
    install -D "$target_folder/$triple/release/entrepot" "$out/$name/entrepot"
    cp LICENSE README.md "$out/$name/"
    assert_static "$out/$name/entrepot"
    # The same input makes the same archive.
    tar --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner \
        -C "$out" -cf - "$name" | gzip -n9 >"$out/$name.tar.gz"
}

assert_static() {
    if readelf --program-headers "$1" | grep -q 'Requesting program interpreter'; then
        echo "dist: $1 is not static" >&2
        exit 1
    fi
}

wanted=("$@")
[ $# -gt 0 ] || wanted=(amd64 arm64)
rm -rf "$out"
mkdir -p "$out"
for platform in "${wanted[@]}"; do
    why=$(obstacle "$platform")
    if [ -z "$why" ]; then
        build "$platform"
    elif [ $# -gt 0 ]; then
        echo "dist: cannot build for $platform: $why" >&2
        exit 1
    else
        say "NOT BUILT: $platform: $why"
    fi
done
(cd "$out" && sha256sum -- *.tar.gz | tee SHA256SUMS)
