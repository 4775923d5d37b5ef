# The watchdog of keeper.rs. Arguments: the process group of the servers, the signal that ends them best, their
# directory.
group=$1 signal=$2 directory=$3

# Ends with its parent alone, which is seen by the pipe that the parent holds open and never writes to.
trap '' HUP INT QUIT TERM
read -r _

# Whether anything in the group still runs. To `kill`, an ended process that nobody has waited for yet is one more, and
# in a container the first process may never wait for it; Linux tells the two apart.
runs() {
    kill -s 0 -- "-$group" 2>/dev/null || return 1
    [ -r /proc/self/stat ] || return 0
    for file in /proc/[0-9]*/stat; do
        # Number, name in brackets, state, parent, group.
        { read -r stat <"$file"; } 2>/dev/null || continue
        set -- ${stat##*) }
        [ "$3" != "$group" ] || [ "$1" = Z ] || return 0
    done
    return 1
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
# Lets go of the anchor. From here on the servers alone hold the group's number, and where none does, all is done.
exec >/dev/null
if ! ends_within_10_s; then
    kill -s KILL -- "-$group" 2>/dev/null
    ends_within_10_s
fi
# Fails where the data has no disk of its own (disk.rs).
{ umount "$directory/data" || umount -l "$directory/data"; } 2>/dev/null
rm -rf -- "$directory" || { sleep 1; rm -rf -- "$directory"; }
