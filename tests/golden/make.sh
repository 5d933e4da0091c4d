#!/usr/bin/env bash
# Makes the golden plugins: tests/golden/make.sh [MINOR ...] builds tests/golden/source against the
# last commit of API 1.MINOR, for each that has no file yet or is named. A golden plugin is made once,
# when the next minor version begins, and never again: it stands for the plugins that are out there.
#
# The build runs in a git worktree below target/. Every path is mapped to a short name, so that
# no path of this machine, no home folder and no package registry is in the file; that is checked.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
cargo=${CARGO:-cargo}
size_max=$((600 * 1024))

version_at() { git show "$1:plugin-api/Cargo.toml" | sed -n 's/^version = "\(.*\)"$/\1/p'; }

# The last commit whose API has this minor version: the one before the version was raised, or HEAD.
last_commit_of() {
    local wanted=$1 last=HEAD commit
    for commit in $(git rev-list HEAD -- plugin-api/Cargo.toml); do
        case $(version_at "$commit") in
            "1.$wanted".*) git rev-parse "$last"; return ;;
        esac
        last=$commit^
    done
    echo "no commit has version 1.$wanted of the API" >&2
    return 1
}

# Every folder out of which the compiler reads, mapped to a name that says nothing.
remapped() {
    local tree=$1 folder
    printf -- '--remap-path-prefix=%s=/golden ' "$tree"
    "$cargo" metadata --format-version 1 --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" \
        --manifest-path "$tree/Cargo.toml" |
        grep -o '"manifest_path":"[^"]*"' | cut -d '"' -f 4 | grep -v "^$tree/" |
        while read -r manifest; do dirname "$(dirname "$manifest")"; done | sort -u |
        while read -r folder; do printf -- '--remap-path-prefix=%s=/packages ' "$folder"; done
    printf -- '--remap-path-prefix=%s=/rust' "$(rustc --print sysroot)"
}

# Nothing in the file tells where it was made.
check() {
    local file=$1 tree=$2 word
    for word in "$tree" "$root" "${HOME:-/home}" "/ho""me/" /root/ "/Us""ers/" .cargo .rustup registry \
        crates"."io "$(hostname)" "${USER:-/home}"; do
        [ "${#word}" -lt 4 ] && continue
        if LC_ALL=C grep --quiet --text --fixed-strings -- "$word" "$file"; then
            echo "$file names $word" >&2
            return 1
        fi
    done
    if readelf --wide --sections "$file" | grep --quiet '\.symtab\|\.debug_'; then
        echo "$file is not stripped" >&2
        return 1
    fi
    if [ "$(stat --format %s "$file")" -gt "$size_max" ]; then
        echo "$file is larger than $size_max bytes" >&2
        return 1
    fi
}

make_one() {
    local minor=$1 commit tree features='' i
    commit=$(last_commit_of "$minor")
    tree=$root/target/golden/tree
    [ ! -e "$tree" ] || git worktree remove --force "$tree"
    git worktree add --quiet --detach "$tree" "$commit"
    trap "git worktree remove --force '$tree'" EXIT
    cp -r tests/golden/source "$tree/golden"
    sed -i 's/^members = \[/members = [ "golden",/' "$tree/Cargo.toml"
    for i in $(seq 1 "$minor"); do features="$features api-1-$i"; done
    # The lock file of the commit grows by the golden package alone.
    RUSTFLAGS=$(remapped "$tree") \
    CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=symbols \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=fat \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_TARGET_DIR="$root/target/golden/built" \
        "$cargo" build --release --quiet --package golden --features "$features" \
        --manifest-path "$tree/Cargo.toml"
    mkdir -p "tests/golden/api-1.$minor"
    cp "$root/target/golden/built/release/libgolden.so" "tests/golden/api-1.$minor/libgolden.so"
    check "tests/golden/api-1.$minor/libgolden.so" "$tree"
    git worktree remove --force "$tree"
    trap - EXIT
    echo "tests/golden/api-1.$minor/libgolden.so: from $(git log -1 --format=%h "$commit"), API $(version_at "$commit")"
}

current=$(version_at HEAD | cut -d . -f 2)
if [ $# -gt 0 ]; then
    for minor in "$@"; do make_one "$minor"; done
else
    for minor in $(seq 0 "$current"); do
        [ -e "tests/golden/api-1.$minor/libgolden.so" ] || make_one "$minor"
    done
fi
