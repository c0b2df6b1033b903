/* The yardstick of the checks' figures, compiled by the benchmark.
 *
 * epoll serve PORT tcp|http|silent        answers on every address of the machine; a byte on stdin is answered by a line:
 *                                         connections accepted so far, connections open now
 * epoll check tcp|http CHECKS SECONDS MS PORT   as bare a checker as can be: CHECKS servers from 10.99.0.0 on, each
 *                                         every MS milliseconds, evenly; then the processor time used, in microseconds,
 *                                         and how many checks ended well
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, FIRST = (10 << 24) | (99 << 16) };
static const char request[] = "GET /status HTTP/1.0\r\nUser-Agent: bare\r\nHost: 10.99.0.0\r\nConnection: close\r\n\r\n";
static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";

static void must(int good, const char *what) {
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void watch(int poll, int fd, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    must(epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static struct sockaddr_in address(unsigned host, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
    return to;
}

static int serve(int port, const char *kind) {
    int http = !strcmp(kind, "http"), silent = !strcmp(kind, "silent"), yes = 1;
    int poll = epoll_create1(0), door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in here = address(INADDR_ANY, port);
    struct epoll_event events[EVENTS];
    char said[4096];
    long accepted = 0, open = 0;
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    must(bind(door, (struct sockaddr *)&here, sizeof here) == 0 && listen(door, 16384) == 0, "listen");
    watch(poll, door, EPOLLIN);
    watch(poll, 0, EPOLLIN);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd, one;
            if (fd == 0) {
                if (read(0, said, 1) <= 0)
                    return 0;
                printf("%ld %ld\n", accepted, open);
                fflush(stdout);
            } else if (fd != door) {
                ssize_t got = read(fd, said, sizeof said);
                if (got > 0 && http)
                    must(write(fd, answer, sizeof answer - 1) > 0 || errno == EPIPE || errno == ECONNRESET, "write");
                if (got <= 0 || http) {
                    close(fd);
                    open--;
                }
            } else {
                while ((one = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    accepted++;
                    if (http || silent) {
                        watch(poll, one, EPOLLIN);
                        open++;
                    } else
                        close(one);
                }
            }
        }
    }
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int check(int http, int checks, int seconds, int milliseconds, int port) {
    int poll = epoll_create1(0), place = 0;
    long long step = milliseconds * 1000000LL / checks, next = now(), end = next + seconds * 1000000000LL;
    long good = 0;
    struct epoll_event events[EVENTS];
    static char asked[1 << 16];
    char said[4096];
    struct rusage used;
    while (next < end) {
        long long left = next - now();
        struct timespec wait = {.tv_nsec = left > 0 ? left : 0};
        int count = epoll_pwait2(poll, events, EVENTS, &wait, NULL);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd, error = 0;
            socklen_t size = sizeof error;
            if (!asked[fd]) {
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
                if (!error && http && write(fd, request, sizeof request - 1) > 0) {
                    asked[fd] = 1;
                    continue;
                }
                good += !error && !http;
            } else {
                ssize_t got = read(fd, said, sizeof said);
                if (got < 0 && errno == EAGAIN)
                    continue;
                good += got > 12 && !memcmp(said + 9, "200", 3);
            }
            asked[fd] = 0;
            close(fd);
        }
        while (next <= now()) {
            struct sockaddr_in to = address(FIRST + 1 + place, port);
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
            must(fd >= 0 && fd < (int)sizeof asked, "socket");
            if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS)
                watch(poll, fd, EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP);
            else
                close(fd);
            place = (place + 1) % checks;
            next += step;
        }
    }
    getrusage(RUSAGE_SELF, &used);
    printf("%lld %ld\n",
           (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000LL + used.ru_utime.tv_usec + used.ru_stime.tv_usec,
           good);
    return 0;
}

int main(int count, char **word) {
    if (count == 4 && !strcmp(word[1], "serve"))
        return serve(atoi(word[2]), word[3]);
    if (count == 7 && !strcmp(word[1], "check"))
        return check(!strcmp(word[2], "http"), atoi(word[3]), atoi(word[4]), atoi(word[5]), atoi(word[6]));
    return 2;
}
