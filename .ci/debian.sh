# Makes root directories of other Debian releases, and runs commands in them. .ci/run and .ci/matrix
# source this file. Both must run as root.

# make_root <root> <suite> <package>...: Makes a root directory with little more than these
# packages, from the mirror that this machine's apt uses.
make_root() {
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' |
        head -n 1)
    debootstrap --variant=minbase --include="$(IFS=, && echo "${*:3}")" "$2" "$1" "$mirror"
    # Copies apt's settings of this machine: proxies, and whether an outdated package list is
    # accepted.
    apt-config dump | grep -E '^Acquire::(Check|http|https|Retries)' >"$1/etc/apt/apt.conf.d/90acquire" || true
}

# in_root <root> [--bind <folder>]... <command>...: Runs a command in a root directory. The bound
# folders of this machine have the same paths there. The mounts disappear when the command ends.
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
