# Shared by the scripts beside it: the virtual environment, the locked packages, the system's packages.
# Sourced by bash 3.2 or newer (macOS has that one). Everything here is safe to run twice and picks up
# where an interruption left it.

VENV=.venv
NEEDED_MB=1600

say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

is_root() { [ "$(id -u)" -eq 0 ]; }

# Runs a command as root, if that is possible without a question; fails otherwise.
as_root() {
  if is_root; then "$@"
  elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then sudo -n "$@"
  else return 1
  fi
}

can_install() { command -v apt-get >/dev/null 2>&1 && as_root true; }

APT_UPDATED=""
apt_install() {
  if [ -z "$APT_UPDATED" ]; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || true
    APT_UPDATED=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# system_program PROGRAM PACKAGE PURPOSE: installs PACKAGE when PROGRAM is missing and this account may.
# Returns 1, having said so, when it stays missing.
system_program() {
  command -v "$1" >/dev/null 2>&1 && return 0
  if can_install; then
    say "installing the system package $2 ($3)"
    if apt_install "$2"; then return 0; fi
    say "the system package $2 could not be installed (no network?)"
  elif command -v brew >/dev/null 2>&1 && ! is_root; then
    say "installing $2 with Homebrew ($3)"
    if brew install --quiet "$2" >&2; then return 0; fi
  fi
  say "missing: $1 ($3). Install it with: sudo apt-get install $2   (macOS: brew install $2)"
  return 1
}

# Prints a Python that is new enough, or nothing.
find_python() {
  local name
  for name in ${PYTHON:-} python3 python3.11 python3.12 python3.13 python3.14; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

require_space() {
  local free_mb
  free_mb=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
  [ "$free_mb" -ge "$NEEDED_MB" ] ||
    die "the disk of $(pwd) is full: $free_mb MB are free and the installation needs $NEEDED_MB MB. Free some space, then run this again."
}

ensure_venv() {
  if "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then return 0; fi
  local python
  python=$(find_python) || die "Python 3.11 or newer was not found. Install it, or set PYTHON to its path."
  require_space
  if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    local version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if can_install; then
      say "installing the system package python$version-venv (virtual environments)"
      apt_install "python$version-venv" || apt_install python3-venv ||
        die "python$version-venv could not be installed; is there a network? Nothing else was done. Run this again."
    else
      die "this Python cannot make virtual environments. Ask an administrator for: apt-get install python$version-venv"
    fi
  fi
  say "making $VENV with $python"
  "$python" -m venv --clear "$VENV" || die "$VENV could not be made, see above. Run this again."
}

# A name for what should be installed: it changes with the lock, our own metadata and the Python.
wanted_stamp() {
  { cat "$1" pyproject.toml; "$VENV/bin/python" -c 'import sys; print(sys.version, sys.prefix)'; } |
    "$VENV/bin/python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
}

# install_lock FILE...: the first is installed; the others it contains, so they count as installed as well.
install_lock() {
  local lock=$1 stamp file log status
  stamp=$(wanted_stamp "$lock")
  if [ "$(cat "$VENV/.installed-$lock" 2>/dev/null)" = "$stamp" ]; then return 0; fi
  require_space
  say "installing the locked packages of $lock (some minutes the first time)"
  log=$VENV/install.log
  status=0
  "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --require-hashes -r "$lock" \
    >"$log" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --no-build-isolation -e . \
      >>"$log" 2>&1 || status=$?
  fi
  [ "$status" -eq 0 ] || explain_install "$log"
  for file in "$@"; do wanted_stamp "$file" >"$VENV/.installed-$file"; done
}

explain_install() {
  local log=$1
  tail -n 5 "$log" >&2
  if grep -qiE 'no space left|disk quota' "$log"; then
    die "the disk is full; free some space, then run this again: it goes on where it stopped."
  elif grep -qiE 'name resolution|NewConnectionError|Failed to establish|Network is unreachable|ConnectTimeout|Max retries|ProxyError|connection (was )?(refused|reset|broken)' "$log"; then
    die "the packages could not be fetched: there is no way to the package index. Check the network, then run this again: it goes on where it stopped."
  elif grep -qiE 'do not match the hashes' "$log"; then
    die "a package is not the one that was locked; it was not installed. Run this again; if it stays, tell the maintainers."
  elif grep -qiE 'no matching distribution|could not find a version' "$log"; then
    die "the package index that pip is set up with does not have a locked version, or could not be reached. Check the network and pip's settings (pip config list), then run this again."
  fi
  die "the packages could not be installed; all of pip's words are in $log."
}
