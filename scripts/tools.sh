# Sourced by the other scripts, in the repository's root: provides the programs that they need, and changes only target/. Debian packages are
# downloaded with package lists of our own and unpacked, never installed, so no root is needed.
# shellcheck shell=bash
tools=$PWD/target/test-tools

missing() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || return 0
    done
    return 1
}

# need PROGRAM…: fails if any of them is missing, and prints how to install it.
need() {
    local program status=0
    for program in "$@"; do
        ! missing "$program" || {
            status=1
            case $program in
                cargo) echo "cargo is missing: get Rust from https://rustup.rs" ;;
                node | npm) echo "$program is missing: get it from https://nodejs.org" ;;
                cc | make) echo "$program is missing (Debian: apt-get install build-essential)" ;;
                postgres | initdb | psql) echo "$program is missing (Debian: apt-get install postgresql-15)" ;;
                apt-get | dpkg-deb) echo "$program is missing: this needs Debian" ;;
                *) echo "$program is missing (Debian: apt-get install $program)" ;;
            esac >&2
        }
    done
    return "$status"
}

need_root() {
    [ "$(id -u)" = 0 ] || {
        echo "$1 needs root. It mounts only in a namespace of its own, and changes only target/." >&2
        return 1
    }
}

own_apt() {
    need apt-get dpkg-deb
    mkdir -p "$tools/apt/lists/partial" "$tools/apt/cache/archives/partial"
    apt-get -o Dir::State="$tools/apt" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$tools/apt/cache" \
        -o APT::Sandbox::User= -o Debug::NoLocking=true --no-install-recommends --yes "$@"
}

# unpack FOLDER PACKAGE…: unpacks the packages, and their dependencies that are not installed, into $tools/FOLDER.
unpack() {
    local folder=$tools/$1 package
    shift
    [ "$(cat "$folder/.packages" 2>/dev/null)" != "$*" ] || return 0
    rm -rf "$folder" "$tools/apt/cache/archives"
    # Old lists name packages that no longer exist.
    own_apt install --download-only "$@" || { own_apt update && own_apt install --download-only "$@"; }
    mkdir -p "$folder/etc" "$folder/usr/bin" "$folder/usr/sbin" "$folder/usr/lib" "$folder/usr/lib64" "$folder/var"
    ln -s usr/bin usr/sbin usr/lib usr/lib64 "$folder"
    for package in "$tools"/apt/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink --no-same-owner --no-same-permissions -C "$folder"
    done
    rm -rf "$tools/apt/cache/archives"
    echo "$*" > "$folder/.packages"
}

# python_with REQUIREMENTS: creates a virtual environment with the packages of the file, and sets `python` to its interpreter.
python_with() {
    local folder
    folder=$tools/python-$(basename "$(dirname "$1")")
    python=$folder/bin/python
    ! cmp -s "$1" "$folder/requirements.txt" || return 0
    # Debian's Python has pip in packages of its own.
    if python3 -c 'import ensurepip' 2>/dev/null; then
        python3 -m venv --clear "$folder"
        set -- "$1" -m pip
    else
        unpack pip python3-pip-whl
        python3 -m venv --clear --without-pip "$folder"
        set -- "$1" "$(echo "$tools"/pip/usr/share/python-wheels/pip-*.whl)/pip"
    fi
    "$python" "${@:2}" --disable-pip-version-check --quiet install --no-cache-dir --requirement "$1"
    cp "$1" "$folder/requirements.txt"
}

# cargo_tool NAME: builds a Rust program if it is missing.
cargo_tool() {
    PATH=$PATH:$tools/bin
    ! missing "$1" || cargo install "$1" --locked --root "$tools"
}

# as_if_installed FOLDER COMMAND…: runs the command as root with the packages of `unpack FOLDER` overlaid on /usr, /etc, /var and /run. The
# mounts are in a namespace of their own: changes there and in /dev/shm are discarded with it.
as_if_installed() {
    # Paths are relative, since the repository itself may be below one of the mount points.
    # shellcheck disable=SC2016
    AS_IF_INSTALLED=$1 unshare --mount --fork --kill-child bash -euc '
        here=$PWD
        mkdir -p "$0/.over"
        mount -t tmpfs tmpfs "$0/.over"
        for place in usr etc var run; do
            over=$0/.over/$place
            mkdir -p "$0/$place" "$over/upper" "$over/work"
            mount -t overlay -o "lowerdir=$0/$place:/$place,upperdir=$over/upper,workdir=$over/work" overlay "/$place"
        done
        mount -t tmpfs tmpfs /dev/shm
        [ "$here" -ef . ] || mount --no-canonicalize --rbind . "$here"
        cd "$here"
        exec "$@"
    ' "target/test-tools/$1" "${@:2}"
}
