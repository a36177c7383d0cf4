/*
 * A file system between the server and the kernel that can lose power, run full and fail, and a resolver
 * that hangs. It is loaded into the server (LD_PRELOAD) by the tests of this directory, which compile it.
 *
 * What the environment names:
 *   FAULTS_DIR      everything below this directory is watched; nothing else is touched
 *   FAULTS_JOURNAL  every change is written there in order, with every fsync and every answer 202: from that the
 *                   tests build what a disk would hold that kept nothing but what was synced (see disk.rs)
 *   FAULTS_CONTROL  a file of 64-bit numbers that the tests change while the server runs
 *
 * Changes are made and noted under one lock, so the journal has the order in which they happened. A killed
 * process loses none of it: it is in the kernel's memory before the call returns. An fsync is noted and not
 * passed on, because nothing here depends on the disk below.
 *
 * The -shm file is not watched: it is mapped memory, rebuilt from the WAL after a crash, and may be lost.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The same numbers are in disk.rs. */
enum { CREATE = 1, WRITE, TRUNCATE, SYNC, SYNC_FAILED, UNLINK, RENAME, MKDIR, SYNC_DIR, ANSWER };

/* The same order is in shim.rs. */
struct control {
    /* Not 0: fsync and fdatasync of the WAL fail with EIO. */
    volatile int64_t fail_sync;
    /* Not 0: the most bytes that all watched files may have together; beyond it is ENOSPC. */
    volatile int64_t space;
    /* How often a sync was refused. */
    volatile int64_t syncs_failed;
    /* How often space was refused. */
    volatile int64_t space_refused;
};

struct record {
    uint32_t op;
    uint32_t path_bytes;
    uint64_t file;
    uint64_t offset;
    uint64_t bytes;
};

#define FILES 65536
static unsigned char watched[FILES];
static char root[PATH_MAX];
static size_t root_bytes;
static int journal = -1;
static struct control none, *control = &none;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_send)(int, const void *, size_t, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_rename)(const char *, const char *);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_close)(int);
static int (*real_getaddrinfo)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

__attribute__((constructor)) static void begin(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_send = dlsym(RTLD_NEXT, "send");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_mkdir = dlsym(RTLD_NEXT, "mkdir");
    real_close = dlsym(RTLD_NEXT, "close");
    real_getaddrinfo = dlsym(RTLD_NEXT, "getaddrinfo");
    const char *dir = getenv("FAULTS_DIR");
    if (dir == NULL || realpath(dir, root) == NULL) return;
    root_bytes = strlen(root);
    const char *path = getenv("FAULTS_JOURNAL");
    if (path != NULL) journal = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    path = getenv("FAULTS_CONTROL");
    int fd = path == NULL ? -1 : real_open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) control = map;
        real_close(fd);
    }
}

static int is_below(const char *path) {
    return root_bytes > 0 && strncmp(path, root, root_bytes) == 0 && (path[root_bytes] == '/' || path[root_bytes] == 0);
}

static int ends_with(const char *path, const char *end) {
    size_t a = strlen(path), b = strlen(end);
    return a >= b && strcmp(path + a - b, end) == 0;
}

/* The path of an open file; 0 when it is not watched. */
static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return is_below(path) && !ends_with(path, "-shm");
}

/* The absolute form of a path whose last part need not exist; 0 when it is not watched. */
static int absolute(int dir, const char *path, char *out) {
    char copy[2 * PATH_MAX], parent[PATH_MAX];
    if (dir != AT_FDCWD && path[0] != '/') {
        if (!path_of(dir, parent)) return 0;
        snprintf(copy, sizeof copy, "%s/%s", parent, path);
    } else {
        snprintf(copy, sizeof copy, "%s", path);
    }
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/') copy[--n] = 0;
    char *slash = strrchr(copy, '/');
    const char *name = slash == NULL ? copy : slash + 1;
    if (slash == NULL) {
        if (getcwd(parent, sizeof parent) == NULL) return 0;
    } else {
        char name_kept[NAME_MAX + 1];
        snprintf(name_kept, sizeof name_kept, "%s", name);
        *slash = 0;
        if (realpath(slash == copy ? "/" : copy, parent) == NULL) return 0;
        return snprintf(out, PATH_MAX, "%s/%s", parent, name_kept) < PATH_MAX && is_below(out);
    }
    return snprintf(out, PATH_MAX, "%s/%s", parent, name) < PATH_MAX && is_below(out);
}

static uint64_t number_of(int fd) {
    struct stat s;
    return fstat(fd, &s) == 0 ? (uint64_t)s.st_ino : 0;
}

/* For a rename, `data` is the other path. */
static void note(uint32_t op, const char *path, uint64_t file, uint64_t offset, const void *data, uint64_t bytes) {
    if (journal < 0) return;
    struct record record = {op, path == NULL ? 0 : (uint32_t)strlen(path), file, offset, bytes};
    struct iovec parts[3] = {{&record, sizeof record}, {(void *)path, record.path_bytes}, {(void *)data, data == NULL ? 0 : bytes}};
    size_t all = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;
    if (real_writev(journal, parts, 3) != (ssize_t)all) abort();
}

static int64_t used(const char *dir) {
    int64_t sum = 0;
    DIR *entries = opendir(dir);
    if (entries == NULL) return 0;
    for (struct dirent *e; (e = readdir(entries)) != NULL;) {
        char path[PATH_MAX];
        struct stat s;
        if (e->d_name[0] == '.' || snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= PATH_MAX) continue;
        if (lstat(path, &s) != 0) continue;
        sum += S_ISDIR(s.st_mode) ? used(path) : (int64_t)s.st_size;
    }
    closedir(entries);
    return sum;
}

/* Whether a file may become so long. */
static int has_room(int fd, int64_t size) {
    struct stat s;
    if (control->space == 0 || fstat(fd, &s) != 0 || size <= s.st_size) return 1;
    if (used(root) + size - s.st_size <= control->space) return 1;
    control->space_refused++;
    errno = ENOSPC;
    return 0;
}

static int opened(int fd, int existed, int flags) {
    char path[PATH_MAX];
    if (fd < 0 || fd >= FILES) return fd;
    watched[fd] = 0;
    if ((flags & O_ACCMODE) == O_RDONLY || !path_of(fd, path)) return fd;
    watched[fd] = 1;
    if (!existed) note(CREATE, path, number_of(fd), 0, NULL, 0);
    else if (flags & O_TRUNC) note(TRUNCATE, NULL, number_of(fd), 0, NULL, 0);
    return fd;
}

static int do_open(int dir, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    struct stat s;
    if ((flags & O_ACCMODE) == O_RDONLY || !absolute(dir, path, full)) {
        int fd = real_openat(dir, path, flags, mode);
        if (fd >= 0 && fd < FILES) watched[fd] = 0;
        return fd;
    }
    pthread_mutex_lock(&lock);
    int existed = lstat(full, &s) == 0;
    int fd = opened(real_openat(dir, path, flags, mode), existed, flags);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); }

int open(const char *path, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags) return do_open(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return do_open(dir, path, flags, mode); }

static int is_watched(int fd) { return fd >= 0 && fd < FILES && watched[fd]; }

static ssize_t do_write(int fd, const void *data, size_t bytes, off_t offset) {
    pthread_mutex_lock(&lock);
    ssize_t n = -1;
    if (has_room(fd, (int64_t)offset + (int64_t)bytes)) n = real_pwrite(fd, data, bytes, offset);
    int error = errno;
    if (n > 0) note(WRITE, NULL, number_of(fd), (uint64_t)offset, data, (uint64_t)n);
    pthread_mutex_unlock(&lock);
    errno = error;
    return n;
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset) {
    return is_watched(fd) ? do_write(fd, data, bytes, offset) : real_pwrite(fd, data, bytes, offset);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return pwrite64(fd, data, bytes, offset); }

ssize_t write(int fd, const void *data, size_t bytes) {
    if (!is_watched(fd)) return real_write(fd, data, bytes);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t n = do_write(fd, data, bytes, at);
    if (n > 0) lseek(fd, at + n, SEEK_SET);
    return n;
}

/* An answer is noted before it leaves: what is synced later did not come before it. */
static void note_answer(const struct iovec *parts, int count) {
    static const char accepted[] = "HTTP/1.1 202";
    char answer[4096];
    size_t bytes = 0;
    if (journal < 0 || count == 0 || parts[0].iov_len < sizeof accepted - 1) return;
    if (memcmp(parts[0].iov_base, accepted, sizeof accepted - 1) != 0) return;
    for (int i = 0; i < count; i++) {
        size_t room = sizeof answer - bytes, n = parts[i].iov_len < room ? parts[i].iov_len : room;
        memcpy(answer + bytes, parts[i].iov_base, n);
        bytes += n;
    }
    pthread_mutex_lock(&lock);
    note(ANSWER, NULL, 0, 0, answer, bytes);
    pthread_mutex_unlock(&lock);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (is_watched(fd)) return count == 0 ? 0 : write(fd, parts[0].iov_base, parts[0].iov_len);
    note_answer(parts, count);
    return real_writev(fd, parts, count);
}

ssize_t send(int fd, const void *data, size_t bytes, int flags) {
    struct iovec part = {(void *)data, bytes};
    note_answer(&part, 1);
    return real_send(fd, data, bytes, flags);
}

/* Ways to write that are not watched do not exist, so that the caller takes one that is. */
ssize_t copy_file_range(int in, off_t *a, int out, off_t *b, size_t n, unsigned f) {
    (void)in, (void)a, (void)out, (void)b, (void)n, (void)f;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int out, int in, off_t *from, size_t n) {
    (void)out, (void)in, (void)from, (void)n;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile(int out, int in, off_t *from, size_t n) { return sendfile64(out, in, from, n); }

int ftruncate64(int fd, off_t size) {
    if (!is_watched(fd)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    int done = real_ftruncate(fd, size);
    int error = errno;
    if (done == 0) note(TRUNCATE, NULL, number_of(fd), (uint64_t)size, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int do_sync(int fd, int (*real)(int)) {
    char path[PATH_MAX];
    struct stat s;
    if (!path_of(fd, path) || fstat(fd, &s) != 0) return real(fd);
    if (journal < 0 && control == &none) return real(fd);
    pthread_mutex_lock(&lock);
    int done = 0;
    if (S_ISDIR(s.st_mode)) {
        note(SYNC_DIR, path, 0, 0, NULL, 0);
    } else if (control->fail_sync && ends_with(path, "-wal")) {
        control->syncs_failed++;
        note(SYNC_FAILED, NULL, s.st_ino, 0, NULL, 0);
        done = -1;
    } else {
        note(SYNC, NULL, s.st_ino, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    if (done != 0) errno = EIO;
    return done;
}

int fsync(int fd) { return do_sync(fd, real_fsync); }
int fdatasync(int fd) { return do_sync(fd, real_fdatasync); }

int unlinkat(int dir, const char *path, int flags) {
    char full[PATH_MAX];
    if (!absolute(dir, path, full)) return real_unlinkat(dir, path, flags);
    pthread_mutex_lock(&lock);
    int done = real_unlinkat(dir, path, flags);
    int error = errno;
    if (done == 0) note(UNLINK, full, 0, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int rename(const char *from, const char *to) {
    char a[PATH_MAX], b[PATH_MAX];
    if (!absolute(AT_FDCWD, from, a) || !absolute(AT_FDCWD, to, b)) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int done = real_rename(from, to);
    int error = errno;
    if (done == 0) note(RENAME, a, 0, 0, b, strlen(b));
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int mkdir(const char *path, mode_t mode) {
    char full[PATH_MAX];
    int is_ours = absolute(AT_FDCWD, path, full);
    pthread_mutex_lock(&lock);
    int done = real_mkdir(path, mode);
    int error = errno;
    if (done == 0 && is_ours) note(MKDIR, full, 0, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int close(int fd) {
    if (fd >= 0 && fd < FILES) watched[fd] = 0;
    return real_close(fd);
}

/* Names below .nothing.test do not exist, those below .slow.test are never answered, and those below .works.test
 * are this machine: a destination that is no loopback address by its name, so that it proves that names resolve. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (name != NULL && ends_with(name, ".nothing.test")) return EAI_NONAME;
    if (name != NULL && ends_with(name, ".slow.test")) {
        sleep(60);
        return EAI_AGAIN;
    }
    if (name != NULL && ends_with(name, ".works.test")) name = "127.0.0.1";
    return real_getaddrinfo(name, service, hints, found);
}
