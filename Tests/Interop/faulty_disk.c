/* A disk that fails for some paths, put under a program with LD_PRELOAD.
 *
 * FAULTY_DISK names a directory. A file in it is called like a directory beneath the storage, and says what fails there: the name of a
 * system call and an errno, or below zero how many milliseconds it takes. Without the file everything works. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fault(int fd, const char *call) {
    const char *control = getenv("FAULTY_DISK");
    char link[64], path[4096], name[4096], text[64] = "";
    if (!control || fd < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    char *rest = NULL;
    for (char *part = strtok_r(path, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        snprintf(name, sizeof name, "%s/%s", control, part);
        FILE *file = fopen(name, "r");
        if (!file) continue;
        int code = 0;
        int fields = fscanf(file, "%63s %d", text, &code);
        fclose(file);
        if (fields != 2 || strcmp(text, call)) return 0;
        if (code >= 0) return code;
        usleep(-1000 * code);
        return 0;
    }
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(fd, name) do { int code = fault(fd, name); if (code) { errno = code; return -1; } } while (0)

ssize_t write(int fd, const void *bytes, size_t count) {
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) FAIL(fd, "write");
    return REAL(write)(fd, bytes, count);
}

int fdatasync(int fd) { FAIL(fd, "fdatasync"); return REAL(fdatasync)(fd); }
int fsync(int fd) { FAIL(fd, "fsync"); return REAL(fsync)(fd); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
    FAIL(to, "linkat");
    return REAL(linkat)(from, old, to, new, flags);
}

int renameat(int from, const char *old, int to, const char *new) {
    FAIL(to, "renameat");
    return REAL(renameat)(from, old, to, new);
}

int openat(int directory, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (flags & O_CREAT) FAIL(directory, "openat");
    return REAL(openat)(directory, path, flags, mode);
}
