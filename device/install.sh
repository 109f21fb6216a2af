#!/usr/bin/env bash
# Installs fer-edge and its service on a 64-bit Raspberry Pi OS, Bookworm or Trixie; see usage below.
# May be run again at any time, after whatever interrupted it: what is there already is kept, and a
# new version takes the place of the old one in one step.
set -euo pipefail
umask 022 # the service reads what root installs

usage() {
    cat <<'END'
sudo device/install.sh [--wheel FILE | --version N] [--bundle NAME | --bundle FILE]
sudo device/install.sh --uninstall [--purge]

  --wheel FILE   install this wheel, not this checkout
  --version N    install this version from the package index, not this checkout
  --bundle NAME  have the service run this bundle, a model that ships or a file, not edge-small
  --uninstall    remove program and service; configuration and bundles stay
  --purge        remove those, too
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$here")
program=/opt/fer-edge
command=/usr/local/bin/fer-edge
settings=/etc/fer-edge
state=/var/lib/fer-edge
unit=/etc/systemd/system/fer-edge.service
pending=$program/restart-pending # what was changed takes effect with a restart that is still to come
room=600 # MB that an installation takes beside the one it replaces

main() {
    local action=install wheel="" version="" bundle="" purge=""
    while (($#)); do
        case $1 in
            --wheel | --version | --bundle)
                (($# > 1)) || refuse "$1 wants a value"
                printf -v "${1#--}" %s "$2"
                shift
                ;;
            --uninstall) action=uninstall ;;
            --purge) purge=yes ;;
            -h | --help)
                usage
                return
                ;;
            *) refuse "unknown option $1; --help shows all" ;;
        esac
        shift
    done
    [[ $action == uninstall || -z $purge ]] || refuse "--purge goes with --uninstall"
    ((EUID == 0)) || refuse "not root: run it with sudo"
    exec 9>/run/fer-edge-install.lock
    flock --nonblock 9 || refuse "another installation is going on: wait until it has ended"
    if [[ $action == uninstall ]]; then
        uninstall "$purge"
        return
    fi
    local suite
    suite=$(known_suite)
    [[ -z $wheel || -f $wheel ]] || refuse "no such wheel: $wheel"
    [[ -n $wheel$version || -f $checkout/pyproject.toml ]] ||
        refuse "there is no checkout around $here: name a wheel with --wheel"
    # what ships is known once it is installed; a name is no path
    [[ -z $bundle || -f $bundle || $bundle =~ ^[A-Za-z0-9_-]+$ ]] || refuse "no such bundle: $bundle"
    install_packages
    install_program "$suite" "$wheel" "$version"
    install_settings
    [[ -z $bundle ]] || install_bundle "$bundle"
    start
    remove_old
}

# Prints bookworm or trixie; refuses whatever the wheels are not for.
known_suite() {
    local bits suite id
    bits=$(dpkg --print-architecture 2>/dev/null) || refuse "not Debian: there is no dpkg"
    case $bits in
        arm64 | amd64) ;;
        # a 32-bit system may well run on a 64-bit kernel, so uname does not tell
        *) refuse "this system is 32-bit ($bits): LiteRT is for 64-bit systems only, install one" ;;
    esac
    suite=$(os_release VERSION_CODENAME)
    id=$(os_release ID)
    case $id-$suite in
        debian-bookworm | debian-trixie) echo "$suite" ;;
        *) refuse "this is $id ${suite:-of no known release}: Raspberry Pi OS Bookworm or Trixie it takes" ;;
    esac
}

os_release() {
    sed -n "s/^$1=\"\\?\\([^\"]*\\)\"\\?\$/\\1/p" /etc/os-release
}

install_packages() {
    local wanted=(python3-venv python3-numpy) missing=() package updated=""
    export DEBIAN_FRONTEND=noninteractive
    # the ribbon cameras' library; plain Debian has none, and USB and network cameras do without
    if ! python3 -c 'import picamera2' 2>/dev/null; then
        # a fresh card's apt knows no package yet
        apt-get update -qq && updated=yes
        ! apt-cache show python3-picamera2 &>/dev/null || wanted+=(python3-picamera2)
    fi
    for package in "${wanted[@]}"; do
        [[ $(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    [[ -n $updated ]] || apt-get update -qq || refuse "apt cannot be updated: see above"
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
        refuse "apt cannot install ${missing[*]}: see above"
}

# A folder for each version, complete or not there; the link `current` says which one is used.
install_program() {
    local suite=$1 wheel=$2 version=$3 requirements=$here/$1.txt what name folder
    [[ -f $requirements ]] || refuse "$requirements is missing: keep install.sh in its folder"
    if [[ -n $wheel ]]; then
        what=$(realpath "$wheel")
        name=$(cat "$requirements" "$wheel" | sha256sum)
    elif [[ -n $version ]]; then
        what=fer-edge==$version
        name=$({ cat "$requirements" && echo "$what"; } | sha256sum)
    else
        what=$checkout
        name=$({ cat "$requirements" "$here/build.txt" && sources; } | sha256sum)
    fi
    folder=$program/${name:0:12}
    if [[ ! -e $folder/complete ]]; then
        say "installing $what into $folder"
        mkdir -p "$program"
        (($(df --output=avail -m "$program" | tail -1) > room)) ||
            refuse "less than $room MB are free in $program: make room"
        rm -rf "$folder"
        # shellcheck disable=SC2064 # the folder of now
        trap "rm -rf '$folder'" EXIT
        build "$folder" "$requirements" "$what"
        # a power cut must not keep the mark and lose what it stands for
        sync -f "$folder"
        touch "$folder/complete"
        sync -f "$folder"
        trap - EXIT
    fi
    switch_to "$folder"
}

build() {
    local folder=$1 requirements=$2 what=$3
    local pip=("$folder/bin/python" -m pip install --quiet --no-deps --only-binary :all:
        --no-cache-dir --disable-pip-version-check --root-user-action ignore)
    python3 -m venv --system-site-packages "$folder"
    # numpy is apt's, which apt's picamera2 was built with; all else is pinned by its hash
    "${pip[@]}" --require-hashes -r "$requirements" ||
        refuse "pip cannot install what $requirements names: see above, and try again"
    if [[ -d $what ]]; then
        build_checkout "$folder/tools"
    else
        "${pip[@]}" "$what" || refuse "pip cannot install $what: see above; without --version and" \
            "--wheel it is the checkout that is installed"
    fi
    "$folder/bin/python" -c 'import cv2, numpy; from ai_edge_litert.interpreter import Interpreter' ||
        refuse "what was installed does not work here: see above"
    "$folder/bin/fer-edge" --version >/dev/null
}

# With build's pip. The tools are pinned, too, so that nothing unknown runs as root.
build_checkout() {
    local tools=$1 otherwise="make a wheel elsewhere (pip wheel --no-deps .), and name it with --wheel"
    "${pip[@]}" --target "$tools" --require-hashes -r "$here/build.txt" ||
        refuse "pip cannot install what $here/build.txt names: see above; or $otherwise"
    PYTHONPATH=$tools "${pip[@]}" --no-index --no-build-isolation "$checkout" ||
        refuse "pip cannot build $checkout: see above; or $otherwise"
    rm -rf "$tools"
}

# Prints the checksums of what the checkout's wheel is made of.
sources() {
    (
        cd "$checkout"
        find -L fer_edge pyproject.toml README.md LICENSE -type f ! -path '*/__pycache__/*' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum
    )
}

switch_to() {
    local folder=$1
    if [[ $(readlink "$program/current" || true) != "$folder" ]]; then
        touch "$pending"
        ln -sfn "$folder" "$program/current.new"
        mv -T "$program/current.new" "$program/current"
    fi
    ln -sfn "$program/current/bin/fer-edge" "$command"
}

# Only once nothing runs out of them any more.
remove_old() {
    local folder old
    folder=$(readlink "$program/current")
    for old in "$program"/*/; do
        [[ ${old%/} == "$folder" || ${old%/} == "$program/current" ]] || rm -rf "${old%/}"
    done
}

install_settings() {
    install -d -m 755 "$settings" "$settings/keys" "$state"
    install -d -m 700 "$settings/secrets"
    [[ -e $settings/fer-edge.toml ]] || install -m 644 "$here/fer-edge.toml" "$settings/fer-edge.toml"
    if ! cmp -s "$here/fer-edge.service" "$unit"; then
        touch "$pending"
        install -m 644 "$here/fer-edge.service" "$unit"
    fi
    reload
    systemctl --quiet enable fer-edge.service
}

install_bundle() {
    local before
    before=$(readlink "$state/bundles/current.fer" || true)
    "$command" bundle install "$1"
    [[ $(readlink "$state/bundles/current.fer") == "$before" ]] || touch "$pending"
}

start() {
    if ! booted; then
        rm -f "$pending"
        say "installed; it starts with the next boot"
    elif [[ ! -e $pending ]] && systemctl --quiet is-active fer-edge.service; then
        say "installed already, and running"
    elif systemctl restart fer-edge.service; then
        rm -f "$pending"
        say "installed and running: systemctl status fer-edge"
    else
        say "installed, but it does not start: journalctl -u fer-edge"
        return 1
    fi
}

uninstall() {
    if [[ -e $unit ]]; then
        if booted; then
            systemctl --quiet disable --now fer-edge.service
        else
            systemctl --quiet disable fer-edge.service
        fi
        rm -f "$unit"
        reload
    fi
    rm -rf "$program"
    [[ ! -L $command ]] || rm -f "$command"
    if [[ -n $1 ]]; then
        rm -rf "$settings" "$state" /var/lib/private/fer-edge
        say "removed, with configuration and bundles"
    else
        say "removed; $settings and $state are still there (--purge)"
    fi
}

booted() {
    [[ -d /run/systemd/system ]]
}

reload() {
    if booted; then
        systemctl daemon-reload
    fi
}

say() {
    echo "install.sh: $*"
}

refuse() {
    echo "install.sh: $*" >&2
    exit 2
}

main "$@"
