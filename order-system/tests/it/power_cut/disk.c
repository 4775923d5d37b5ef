/*
 * Simulates a disk that loses its cache; loaded with LD_PRELOAD.
 *
 * What a program writes below POWER_CUT_FROM is copied to POWER_CUT_TO only when the program syncs it (fsync,
 * fdatasync): then everything that was written to that file since the last sync is copied. So at any moment,
 * POWER_CUT_TO holds the files as they would be on disk after a power cut. Deleting a file takes effect at once, as on a
 * file system with a journal.
 *
 * A process that is killed in the middle of a copy leaves a sync half done, as a power cut can.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define MAX_FILES 64
/* Larger than any file in a test. */
#define WHOLE ((off_t)1 << 40)

struct written {
    char path[PATH_MAX];
    off_t from, to;
};

static struct written files[MAX_FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The path of an open file below POWER_CUT_FROM, relative to it; 0 if it is another file. */
static int relative(int fd, char *path) {
    const char *root = getenv("POWER_CUT_FROM");
    char link[64], full[PATH_MAX];
    if (root == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, full, sizeof full - 1);
    size_t prefix = strlen(root);
    if (length <= (ssize_t)prefix) return 0;
    full[length] = 0;
    if (strncmp(full, root, prefix) != 0 || full[prefix] != '/') return 0;
    strcpy(path, full + prefix + 1);
    return 1;
}

static struct written *entry(const char *path) {
    for (int i = 0; i < MAX_FILES; i++) {
        if (strcmp(files[i].path, path) == 0) return &files[i];
        if (files[i].path[0] == 0) {
            strcpy(files[i].path, path);
            files[i].from = WHOLE;
            return &files[i];
        }
    }
    fprintf(stderr, "power cut: more than %d files\n", MAX_FILES);
    abort();
}

static void wrote(int fd, off_t from, ssize_t length) {
    char path[PATH_MAX];
    int saved = errno;
    if (length > 0 && relative(fd, path)) {
        pthread_mutex_lock(&lock);
        struct written *file = entry(path);
        if (from < file->from) file->from = from;
        if (from + length > file->to) file->to = from + length;
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
}

static void copy(const char *path, int fd, off_t from, off_t to) {
    char target[PATH_MAX * 2], buffer[1 << 16], link[64];
    struct stat size;
    snprintf(target, sizeof target, "%s/%s", getenv("POWER_CUT_TO"), path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int disk = open(target, O_WRONLY | O_CREAT, 0600);
    /* The program's own descriptor may not be readable. */
    int source = open(link, O_RDONLY);
    if (disk < 0 || source < 0 || fstat(fd, &size) != 0 || ftruncate(disk, size.st_size) != 0) {
        perror(target);
        abort();
    }
    while (from < to) {
        size_t most = to - from < (off_t)sizeof buffer ? (size_t)(to - from) : sizeof buffer;
        ssize_t got = pread(source, buffer, most, from);
        if (got <= 0) break;
        if (REAL(pwrite)(disk, buffer, got, from) != got) abort();
        from += got;
    }
    close(source);
    close(disk);
}

static void synced(int fd) {
    char path[PATH_MAX];
    int saved = errno;
    struct stat size;
    if (relative(fd, path) && fstat(fd, &size) == 0 && S_ISREG(size.st_mode)) {
        pthread_mutex_lock(&lock);
        struct written *file = entry(path);
        copy(path, fd, file->from, file->to);
        file->from = WHOLE;
        file->to = 0;
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
}

ssize_t write(int fd, const void *data, size_t size) {
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, data, size);
    if (at >= 0) wrote(fd, at, done);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    ssize_t done = REAL(pwrite)(fd, data, size, at);
    wrote(fd, at, done);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    ssize_t done = REAL(pwrite64)(fd, data, size, at);
    wrote(fd, at, done);
    return done;
}

int fsync(int fd) {
    int done = REAL(fsync)(fd);
    if (done == 0) synced(fd);
    return done;
}

int fdatasync(int fd) {
    int done = REAL(fdatasync)(fd);
    if (done == 0) synced(fd);
    return done;
}

int unlink(const char *path) {
    const char *root = getenv("POWER_CUT_FROM");
    size_t prefix = root ? strlen(root) : 0;
    if (root && strncmp(path, root, prefix) == 0 && path[prefix] == '/') {
        char target[PATH_MAX * 2];
        snprintf(target, sizeof target, "%s/%s", getenv("POWER_CUT_TO"), path + prefix + 1);
        REAL(unlink)(target);
    }
    return REAL(unlink)(path);
}
