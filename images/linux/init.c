/* SPDX-License-Identifier: MIT */
/*
 * Process 1 of the Linux guest. Says on the console that user space is up, then runs the one job
 * that the orchestrator put into memory, or a shell if there is none.
 *
 * It calls sync() right before it says so: the first execution of the kernel's ksys_sync is the
 * instant from which tracing and measuring begin, and at which a boot can be saved. When the job has
 * ended it calls sync() once more: there the records end. And once more when it has said that the
 * host has everything: there the machine can be stopped.
 *
 * Lines on the console that the orchestrator waits for:
 *     orchestrate: ready          user space runs
 *     orchestrate: done N         the job has ended with exit code N, its output is on the host
 *     orchestrate: error: TEXT    the job could not be run or its output not be delivered
 *
 * A job is in reserved memory (images/abi/job.h). It is looked at after sync(), and all that it needs
 * is there before, whether there is a job or not: up to there the boots of all jobs of a config are
 * the same boot.
 *
 * What a job prints goes to the virtio ports `stdout` and `stderr`, what it leaves below /results to
 * the port `results` as a tar stream, its exit code (128 + signal if killed) as a decimal line to
 * the port `status`. The ports need modules.
 *
 * If there is a /etc/trace, Linux's own tracing is started before the instant above, ended before the
 * second sync(), during which the host may take the pages of its rings out of memory, and saved below
 * /results after it (trace/agent.c).
 *
 * Who makes the initramfs: orchestrator/images/initramfs.py.
 */
#include "job.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MODULE_LIST_PATH "/lib/modules/load"
#define TRACE_PATH "/etc/trace"
#define RESULTS_PATH "/results"
#define VIRTIO_DEVICE_PATH "/sys/bus/virtio/devices/virtio0"
#define PORT_CLASS_PATH "/sys/class/virtio-ports"
#define JOB_MAX_WORDS 1024
#define RELAY_BYTES 32768 /* what one request of the port driver carries */
#define PORT_WAIT_MS 5000 /* guest time */

enum port { PORT_STDOUT, PORT_STDERR, PORT_STATUS, PORT_RESULTS, PORT_COUNT };

static const char *const port_names[PORT_COUNT] = {"stdout", "stderr", "status", "results"};

/* One write for a whole line, so that kernel messages cannot fall between its parts. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[256];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length > (int)sizeof(line) - 1)
        length = sizeof(line) - 1;
    if (write(STDOUT_FILENO, line, (size_t)length) < 0)
        pause(); /* no console: nothing can be said, and process 1 must not end */
}

static void check(int status, const char *what)
{
    if (status)
        say("orchestrate: error: %s: %s\n", what, strerror(errno));
}

static void mount_all(void)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

    check(mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755"), "/dev");
    check(mount("proc", "/proc", "proc", flags, NULL), "/proc");
    check(mount("sysfs", "/sys", "sysfs", flags, NULL), "/sys");
    /* Scripts expect these; devtmpfs leaves them to user space. */
    check(symlink("/proc/self/fd", "/dev/fd"), "/dev/fd");
    check(symlink("fd/0", "/dev/stdin"), "/dev/stdin");
    check(symlink("fd/1", "/dev/stdout"), "/dev/stdout");
    check(symlink("fd/2", "/dev/stderr"), "/dev/stderr");
}

/* Reads at most size - 1 bytes and ends them with a NUL. Returns the length or -errno. */
static ssize_t read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;

    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, buffer + length, size - 1 - length)) > 0)
        length += (size_t)got;
    int error = got < 0 ? errno : 0;
    close(fd);
    if (error)
        return -error;
    buffer[length] = '\0';
    return (ssize_t)length;
}

static int write_all(int fd, const char *data, size_t length)
{
    while (length) {
        ssize_t put = write(fd, data, length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        data += put;
        length -= (size_t)put;
    }
    return 0;
}

/* Loads the modules named in MODULE_LIST_PATH, one path a line, in that order. */
static int load_modules(void)
{
    static char list[4096];
    ssize_t length = read_file(MODULE_LIST_PATH, list, sizeof(list));
    if (length < 0)
        return (int)length;

    for (char *path = strtok(list, "\n"); path; path = strtok(NULL, "\n")) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        long status = syscall(SYS_finit_module, fd, "", 0);
        int error = status && errno != EEXIST ? errno : 0;
        close(fd);
        if (error)
            return -error;
    }
    return 0;
}

/*
 * Opens the port called `name`, under whichever number the driver gave it, and gives it its usual
 * name below /dev/virtio-ports. Returns a file descriptor or -errno.
 */
static int open_port(const char *name)
{
    for (unsigned device = 0; device < 8; device++) {
        for (unsigned port = 1; port < 32; port++) {
            char path[128], text[64];
            snprintf(path, sizeof(path), PORT_CLASS_PATH "/vport%up%u/name", device, port);
            if (read_file(path, text, sizeof(text)) < 0)
                continue;
            text[strcspn(text, "\n")] = '\0';
            if (strcmp(text, name))
                continue;
            char link[128];
            snprintf(path, sizeof(path), "../vport%up%u", device, port);
            snprintf(link, sizeof(link), "/dev/virtio-ports/%s", name);
            if (symlink(path, link) && errno != EEXIST)
                return -errno;
            int fd = open(link, O_WRONLY | O_CLOEXEC);
            return fd < 0 ? -errno : fd;
        }
    }
    return -ENODEV;
}

/* The driver announces ports some time after it was loaded: asks again every millisecond. */
static int open_ports(int fds[PORT_COUNT])
{
    mkdir("/dev/virtio-ports", 0755);
    for (int port = 0; port < PORT_COUNT; port++) {
        for (int waited_ms = 0;; waited_ms++) {
            fds[port] = open_port(port_names[port]);
            if (fds[port] >= 0)
                break;
            if (waited_ms == PORT_WAIT_MS) {
                int error = fds[port];
                while (port--)
                    close(fds[port]);
                return error;
            }
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
    return 0;
}

/* Starts a program with the given standard files. Returns its process id or -errno. */
static pid_t start(char *const words[], int in, int out, int err)
{
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid > 0)
        return pid;
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execvp(words[0], words);
    dprintf(STDERR_FILENO, "%s: %s\n", words[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126); /* as a shell reports it */
}

/* Waits for `pid`; other children that end meanwhile are collected. Returns the exit code. */
static int exit_code(pid_t pid)
{
    int status = 0;
    pid_t ended;

    while ((ended = wait(&status)) != pid) {
        if (ended < 0 && errno != EINTR)
            return 255;
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run(char *const words[])
{
    pid_t pid = start(words, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO);
    return pid < 0 ? 255 : exit_code(pid);
}

/*
 * Moves what is in the pipe to the port. Returns false when nothing more can come: all writers
 * are gone, or, in `drain` mode, the pipe is empty.
 */
static bool relay(int from, int to, bool drain, int *error)
{
    static char buffer[RELAY_BYTES];

    for (;;) {
        ssize_t got = read(from, buffer, sizeof(buffer));
        if (got < 0)
            return errno == EINTR || (errno == EAGAIN && !drain);
        if (got == 0)
            return false;
        int status = write_all(to, buffer, (size_t)got);
        if (status && !*error)
            *error = status;
        if (!drain)
            return true;
    }
}

static void on_child(int signal_number)
{
    (void)signal_number; /* its delivery ends ppoll() */
}

/*
 * Carries the job's output to the ports until the job has ended. Pipes lie between, because a
 * port can be opened only once and a script may open /dev/stderr again. A background process that
 * the job leaves behind keeps its pipe but is not waited for.
 */
static int relay_until_exit(pid_t pid, const int pipes[2], const int ports[2], int *code)
{
    sigset_t blocked, unblocked;
    int error = 0;
    bool is_open[2] = {true, true};

    signal(SIGCHLD, on_child);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &unblocked);
    for (;;) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended == pid) {
            *code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            break;
        }
        if (ended > 0)
            continue;
        struct pollfd polled[2];
        for (int i = 0; i < 2; i++)
            polled[i] = (struct pollfd){.fd = is_open[i] ? pipes[i] : -1, .events = POLLIN};
        if (ppoll(polled, 2, NULL, &unblocked) < 0)
            continue;
        for (int i = 0; i < 2; i++) {
            if (polled[i].revents)
                is_open[i] = relay(pipes[i], ports[i], false, &error);
        }
    }
    for (int i = 0; i < 2; i++)
        relay(pipes[i], ports[i], true, &error);
    sigprocmask(SIG_SETMASK, &unblocked, NULL);
    return error;
}

static int send_results(int port)
{
    char *const words[] = {"tar", "-c", "-f", "-", "-C", RESULTS_PATH, ".", NULL};
    pid_t pid = start(words, STDIN_FILENO, port, STDOUT_FILENO);
    if (pid < 0)
        return pid;
    return exit_code(pid) ? -EIO : 0;
}

/* Splits the job's command, if there is one. Returns the number of words, 0 if there is no job, or -errno. */
static int read_job(char *words[JOB_MAX_WORDS + 1])
{
    static char text[JOB_COMMAND_BYTES];
    struct job_area *area;

    int status = map_job(&area);
    if (status)
        return status == -ENOENT ? 0 : status;
    uint32_t length = le32toh(area->length);
    if (length >= sizeof(text))
        return -E2BIG;
    memcpy(text, area->command, length);

    int count = 0;
    for (char *word = text; word < text + length; word += strlen(word) + 1) {
        if (count == JOB_MAX_WORDS)
            return -E2BIG;
        words[count++] = word;
    }
    words[count] = NULL;
    return count;
}

/* Whether that went well, or nothing is to be traced; else the program has said what failed. */
static bool trace(char *what, int out)
{
    char *const words[] = {"/usr/sbin/trace", what, NULL};
    if (access(TRACE_PATH, F_OK))
        return true;
    pid_t pid = start(words, STDIN_FILENO, out, STDERR_FILENO);
    return pid > 0 && !exit_code(pid);
}

/* What a job needs before it can run. Returns whether this VM can run one. */
static bool prepare_jobs(int ports[PORT_COUNT])
{
    int status = load_modules();
    if (status && status != -ENOENT) { /* a user's own kernel may have built in what it needs */
        say("orchestrate: error: modules: %s\n", strerror(-status));
        return false;
    }
    if (access(VIRTIO_DEVICE_PATH, F_OK))
        return false; /* one VM of the board has ports, and it is not this one */
    status = open_ports(ports);
    if (status) {
        say("orchestrate: error: virtio ports: %s\n", strerror(-status));
        return false;
    }
    return trace("start", STDOUT_FILENO);
}

static void run_job(char *const words[], const int ports[PORT_COUNT])
{
    int out[2], err[2], code = 255;

    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
        say("orchestrate: error: job: %s\n", strerror(errno));
        return;
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    pid_t pid = start(words, null, out[1], err[1]);
    if (pid < 0) {
        say("orchestrate: error: job: %s\n", strerror(-pid));
        return;
    }
    close(out[1]);
    close(err[1]);
    int status = relay_until_exit(pid, (int[]){out[0], err[0]}, ports, &code);
    if (!trace("stop", STDOUT_FILENO))
        return;
    sync();
    /* What it writes is the beginning of the archive of results. */
    if (!trace("save", ports[PORT_RESULTS]))
        return;
    if (!status)
        status = send_results(ports[PORT_RESULTS]);
    if (!status) {
        char text[16];
        int length = snprintf(text, sizeof(text), "%d\n", code);
        status = write_all(ports[PORT_STATUS], text, (size_t)length);
    }
    if (status) {
        say("orchestrate: error: output: %s\n", strerror(-status));
        return;
    }
    say("orchestrate: done %d\n", code);
    sync();
}

/* A shell on the console's own device, which, unlike /dev/console, can control a session. */
static void run_shells(void)
{
    char path[64] = "/dev/";
    ssize_t length = read_file("/sys/class/tty/console/active", path + 5, sizeof(path) - 5);
    char *name = path + 5;

    if (length > 0) {
        name[strcspn(name, "\n")] = '\0';
        char *last = strrchr(name, ' '); /* the last console= is what /dev/console means */
        if (last)
            memmove(name, last + 1, strlen(last));
    } else {
        strcpy(name, "console");
    }
    for (;;) {
        pid_t pid = fork();
        if (pid == 0) {
            setsid();
            int tty = open(path, O_RDWR);
            if (tty < 0)
                _exit(126);
            ioctl(tty, TIOCSCTTY, 1);
            char *const words[] = {"-sh", NULL};
            dup2(tty, STDIN_FILENO);
            dup2(tty, STDOUT_FILENO);
            dup2(tty, STDERR_FILENO);
            if (tty > STDERR_FILENO)
                close(tty);
            execv("/bin/sh", words);
            _exit(127);
        }
        if (pid < 0 || exit_code(pid) >= 126) {
            say("orchestrate: error: no shell\n");
            return;
        }
    }
}

int main(void)
{
    static char *words[JOB_MAX_WORDS + 1];
    int ports[PORT_COUNT];

    mount_all();
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", "/root", 1);
    setenv("TERM", "vt102", 1);
    char *const install[] = {"/bin/busybox", "--install", "-s", NULL};
    if (run(install))
        say("orchestrate: error: busybox\n");

    bool runs_jobs = prepare_jobs(ports);
    sync();
    say("orchestrate: ready\n");

    int count = read_job(words);
    if (count < 0)
        say("orchestrate: error: job: %s\n", strerror(-count));
    else if (count == 0)
        run_shells();
    else if (runs_jobs)
        run_job(words, ports);
    else
        say("orchestrate: error: job: there are no virtio ports\n");

    for (;;) {
        if (wait(NULL) < 0 && errno == ECHILD)
            pause();
    }
}
