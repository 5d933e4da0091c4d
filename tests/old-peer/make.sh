#!/usr/bin/env bash
# Builds the release program and the sample plugins of each commit or tag in `list`, in a git worktree
# below the target folder, into old-peer/RELEASE there. What is built already is left as it is.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/old-peer"
folder=$(cd "$target/old-peer" && pwd)
built=$folder/built

build() {
    local release=$1 tree=$2 into=$3 manifest
    local packages=(--package trunkline)
    for manifest in "$tree"/sample-plugins/*/Cargo.toml; do
        packages+=(--package "$(sed -n 's/^name = "\(.*\)"$/\1/p;T;q' "$manifest")")
    done
    # Nobody debugs these programs, and they should take little room.
    "${CARGO:-cargo}" build --quiet --release --locked --manifest-path "$tree/Cargo.toml" \
        --target-dir "$built" --config profile.release.debug=false \
        --config profile.release.strip=true "${packages[@]}"
    rm -rf "$into" "$into.new"
    mkdir "$into.new"
    cp "$built/release/trunkline" "$built"/release/lib*.so "$into.new"
    mv "$into.new" "$into"
    echo "old-peer: built $release"
}

for release in $(grep -v '^#' tests/old-peer/list); do
    if [ -x "$folder/$release/trunkline" ]; then
        continue
    fi
    if ! git cat-file -e "$release^{commit}" 2>/dev/null; then
        echo "old-peer: $release is not in the git history here, so tests with it are skipped" >&2
        continue
    fi
    # A build that was interrupted has left its tree.
    rm -rf "$folder/tree"
    git worktree add --force --quiet --detach "$folder/tree" "$release"
    build "$release" "$folder/tree" "$folder/$release"
    git worktree remove --force "$folder/tree"
    # Another release must not get these plugins.
    rm -f "$built"/release/lib*.so
done
# What several releases need was built once for all of them, and is not needed any more.
rm -rf "$built"
