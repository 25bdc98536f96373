# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the set-up needs of the machine's package manager. Sourced by ci/setup, which owns `die`,
# `run_logged` and the order of the steps. Archive addresses are never written down here: they are
# derived from the sources that the machine already has.

readonly QEMU_MIN=10

# A command (or, with a slash, a file) and the package that brings it; `is_present` knows how to look
# for those that are neither.
readonly NEEDED=(
    "qemu-system-arm qemu-system-arm"
    "arm-linux-gnueabihf-gcc gcc-arm-linux-gnueabihf"
    "/usr/arm-linux-gnueabihf/include/stdio.h libc6-dev-armhf-cross"
    "gcc gcc"
    "/usr/include/stdio.h libc6-dev"
    "clang clang"
    "clang-sanitizers libclang-rt-dev"
    "make make"
    "dtc device-tree-compiler"
    "cpio cpio"
    "xz xz-utils"
    "gdb-multiarch gdb-multiarch"
    "readelf binutils"
    "flock util-linux"
    "babeltrace2 babeltrace2"
    "chromium chromium"
    "chromedriver chromium-driver"
    "/usr/share/javascript/chart.js/chart.min.js libjs-chart.js"
    "trace-cmd trace-cmd"
    "kernelshark kernelshark"
    "Xvfb xvfb"
    "zsh zsh"
    "fish fish"
    "lz4 lz4"
    "zstd zstd"
    "/etc/ssl/certs/ca-certificates.crt ca-certificates"
)

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    else
        sudo "$@"
    fi
}

can_be_root() {
    [[ $EUID -eq 0 ]] || { command -v sudo && { sudo -n true || [[ -t 0 ]]; }; } &>/dev/null
}

qemu_major() {
    qemu-system-arm --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p'
}

os_id() {
    sed -n 's/^ID=//p' /etc/os-release
}

is_present() {
    case $1 in
        */*) [[ -e $1 ]] ;;
        qemu-system-arm) [[ $(qemu_major) -ge $QEMU_MIN ]] ;;
        # The path of the library, or its bare name if it is not there.
        clang-sanitizers)
            [[ -e $(clang -print-file-name="libclang_rt.asan-$(uname -m).a" 2>/dev/null) ]]
            ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# Packages whose command or file is not there, one a line.
missing_packages() {
    local need
    for need in "${NEEDED[@]}"; do
        # shellcheck disable=SC2086 # the two words of an entry
        set -- $need
        # Ubuntu has Chromium only as a snap; the tests that look at the report are skipped there.
        [[ $2 != chromium* || $(os_id) != ubuntu ]] || continue
        is_present "$1" || echo "$2"
    done
    if [[ -z $(newest_python) ]]; then
        echo python3-venv
        echo python3-dev
    fi
}

# The newest Python here that is new enough, can make virtual environments and can build
# extensions; nothing if there is none.
newest_python() {
    local candidate candidates=(python3.{19..11} python3)
    [[ -z ${ORCHESTRATE_PYTHON-} ]] || candidates=("$ORCHESTRATE_PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" - &>/dev/null <<'PYTHON'; then
import ensurepip, pathlib, sys, sysconfig, venv
assert sys.version_info >= (3, 11)
assert (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists()
PYTHON
            command -v "$candidate"
            return
        fi
    done
}

has_armhf() {
    [[ $(dpkg --print-architecture) == armhf ]] || dpkg --print-foreign-architectures | grep -qx armhf
}

# Does apt know a version of this package? ($1: name, $2: least major version, optional)
has_candidate() {
    local version
    version=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
    [[ -n $version && $version != "(none)" ]] || return 1
    [[ -z ${2-} ]] || dpkg --compare-versions "${version#*:}" ge "$2"
}

# The lines "address|source entry" of the release's own main archive, in apt's order.
main_archives() {
    # shellcheck disable=SC2016 # the dollars are for apt
    apt-get indextargets --format '$(RELEASE)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)' \
        'Created-By: Packages' |
        awk -F'|' -v name="$1" '($1 == name || $2 == name) && $3 == "main" { print $4 "|" $5 }'
}

# The Signed-By field of a source entry "file:number", as a deb822 field; nothing if it has none.
signed_by() {
    local file=${1%:*} number=${1##*:} keyring
    if [[ $file == *.sources ]]; then
        awk -v n="$number" 'BEGIN { RS = "" } NR == n' "$file" |
            awk 'tolower($1) == "signed-by:" { on = 1; print; next }
                 on && /^[ \t]/ { print; next }
                 { on = 0 }'
    else
        keyring=$(sed -n "${number}s/.*\[.*signed-by=\([^] ]*\).*/\1/p" "$file")
        [[ -z $keyring ]] || echo "Signed-By: $keyring"
    fi
}

# Adds the backports of this Debian release, from the same address and key as its main archive.
add_backports() {
    local suite=$1-backports line
    line=$(main_archives "$1" | head -n 1)
    [[ -n $line ]] || die "apt knows no main archive for '$1': QEMU >= $QEMU_MIN is in $suite; add it and try again"
    {
        echo "Types: deb"
        echo "URIs: ${line%%|*}"
        echo "Suites: $suite"
        echo "Components: main"
        signed_by "${line#*|}"
    } | as_root tee /etc/apt/sources.list.d/orchestrate-backports.sources >/dev/null
}

apt_update() {
    # One broken third-party source must not stop the set-up: what counts is whether the packages
    # are found afterwards.
    apt_update_failed=
    run_logged as_root apt-get update || apt_update_failed=yes
}

apt_install() {
    run_logged as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}

# Installs the packages given as arguments and makes Debian's armhf archive known to apt.
install_packages() {
    local release qemu=() others=() package
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")

    for package in "$@"; do
        if [[ $package == qemu-system-arm ]]; then qemu=("$package"); else others+=("$package"); fi
    done
    has_armhf || run_logged as_root dpkg --add-architecture armhf
    apt_update
    if [[ ${#qemu[@]} -gt 0 ]] && ! has_candidate qemu-system-arm $QEMU_MIN; then
        if [[ -z $(main_archives "$release-backports") ]]; then
            add_backports "$release"
            apt_update
        fi
        qemu=(-t "$release-backports" "${qemu[@]}")
    fi
    for package in "${others[@]}"; do
        has_candidate "$package" || die "apt does not know the package '$package': check its sources"
    done
    [[ ${#others[@]} -eq 0 ]] || apt_install "${others[@]}"
    [[ ${#qemu[@]} -eq 0 ]] || apt_install "${qemu[@]}"
    is_present qemu-system-arm ||
        die "QEMU >= $QEMU_MIN is needed: the package qemu-system-arm here is older ($(qemu_major))"
    has_candidate linux-image-armmp:armhf || die "apt knows no package linux-image-armmp:armhf: " \
        "${apt_update_failed:+apt-get update failed, see $LOG; try again, or }" \
        "add a Debian archive for armhf to its sources"
}
