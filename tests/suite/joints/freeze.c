/* Stops the process right before the system call that would send its next INVITE: between a permit's last comparison and
 * the wire, where nothing in the process can look any more. Once, and only while the file is there that FREEZE_ONCE names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef ssize_t send_to(int, const void *, size_t, int, const struct sockaddr *, socklen_t);

ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
    send_to *real = (send_to *)dlsym(RTLD_NEXT, "sendto");
    const char *once = getenv("FREEZE_ONCE");
    if (length > 7 && memcmp(data, "INVITE ", 7) == 0 && once && unlink(once) == 0)
        raise(SIGSTOP);
    return real(fd, data, length, flags, to, size);
}
