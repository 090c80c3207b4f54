# Root directories of other Debian releases, for .ci/run and .ci/matrix, which source this file. They need to be root.

# make_root <root> <suite> <package>...: Makes a root directory with little more than these packages, from the mirror that this
# machine's apt uses.
make_root() {
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    debootstrap --variant=minbase --include="$(IFS=, && echo "${*:3}")" "$2" "$1" "$mirror"
    # As on this machine: proxies, and whether an old list of packages is accepted.
    apt-config dump | grep -E '^Acquire::(Check|http|https|Retries)' >"$1/etc/apt/apt.conf.d/90acquire" || true
}

# in_root <root> [--bind <folder>]... <command>...: Runs a command in a root directory. Folders of this machine have the same paths
# there. All that is mounted for it is gone afterwards.
in_root() {
    unshare --mount bash -euo pipefail -c '
        root=$1
        shift
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        while [ "$1" = --bind ]; do
            mkdir -p "$root$2"
            mount --bind "$2" "$root$2"
            shift 2
        done
        exec chroot "$root" "$@"' in_root "$@"
}
