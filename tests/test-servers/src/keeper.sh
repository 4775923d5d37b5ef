# The watchdog of keeper.rs. Arguments: the process group of the servers, the signal that ends them, their directory.
group=$1 signal=$2 directory=$3

# Ends only when the parent ends. The parent holds this pipe open and never writes to it.
trap '' HUP INT QUIT TERM
read -r _

# Whether any process of the group is still running. `kill` also counts processes that have ended but were not waited
# for, and in a container, process 1 may never wait for them. On Linux, /proc shows the difference.
group_runs() {
    kill -s 0 -- "-$group" 2>/dev/null || return 1
    [ -r /proc/self/stat ] || return 0
    for file in /proc/[0-9]*/stat; do
        # The fields are: id, name in brackets, state, parent, group.
        { read -r stat <"$file"; } 2>/dev/null || continue
        set -- ${stat##*) }
        [ "$3" != "$group" ] || [ "$1" = Z ] || return 0
    done
    return 1
}

# Whether a process that has left the group still uses the directory: Chromium's crash handler ends some time after the
# browser. The pattern is not an argument of `grep`, which would find itself.
others_run() {
    printf '%s/' "$directory" | grep -lsqFf - /proc/[0-9]*/cmdline
}

runs() {
    group_runs || others_run
}

ends_within_10_s() {
    for _ in 0 1 2 3 4 5 6 7 8 9; do
        for _ in 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9; do
            runs || return 0
            sleep 0.05
        done
    done
    return 1
}

kill -s "$signal" -- "-$group" 2>/dev/null
# Close the pipe to the anchor. From now on, the group exists only as long as a server runs.
exec >/dev/null
if ! ends_within_10_s; then
    kill -s KILL -- "-$group" 2>/dev/null
    ends_within_10_s
fi
# Fails if the data has no separate disk (disk.rs).
{ umount "$directory/data" || umount -l "$directory/data"; } 2>/dev/null
rm -rf -- "$directory" || { sleep 1; rm -rf -- "$directory"; }
