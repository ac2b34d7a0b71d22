# Run a command in a root directory as a user: enter.sh ROOT USER BARE [HERE=THERE …] -- COMMAND …
# run.py calls it as the first process of a PID namespace with a mount namespace: all mounts and processes end with
# it. It stays as the parent of the command, so that it reaps orphaned processes. Its environment is that of the
# command, whose PATH has no sbin.
set -euo pipefail

root=$1 user=$2 bare=$3
shift 3

mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,nosuid dev "$root/dev"
for node in null zero full random urandom tty; do
    : > "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mkdir "$root/dev/shm"
if [[ $bare == yes ]]; then
    mount -t tmpfs -o mode=755 shm "$root/dev/shm"
else
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    mkdir "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
fi
while [[ $1 != -- ]]; do
    mkdir -p "$root${1#*=}"
    mount --bind "${1%%=*}" "$root${1#*=}"
    mount -o remount,bind,ro "$root${1#*=}"
    shift
done
shift

# Not with `exec`: see above.
status=0
/usr/sbin/chroot --userspec="$user:$user" "$root" "$@" < /dev/null || status=$?
exit "$status"
