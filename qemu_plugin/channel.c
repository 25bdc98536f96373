/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See channel.h. Everything but channel_listen() happens in QEMU's main loop, with its lock held. */
#include "channel.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "board.h"
#include "protocol.h"
#include "qemu_api.h"
#include "services.h"

#define NO_SOCKET (-1)

struct client {
    int fd;
    bool greeted;
    uint32_t filled; /* of `message` */
    uint8_t message[CHANNEL_MAX_BYTES];
};

static int listener = NO_SOCKET;
static struct client clients[CHANNEL_MAX_CLIENTS];

const char *channel_missing(void)
{
    return qemu_set_fd_handler == NULL ? "qemu_set_fd_handler" : NULL;
}

int channel_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, CHANNEL_MAX_CLIENTS) != 0) {
        int error = errno;

        close(fd);
        return -error;
    }
    listener = fd;
    return 0;
}

static void hang_up(struct client *client)
{
    qemu_set_fd_handler(client->fd, NULL, NULL, NULL);
    close(client->fd);
    client->fd = NO_SOCKET;
}

/* A client that does not take its answers is none: the board does not wait for it. */
static bool answer(struct client *client, uint16_t operation, const struct reply *reply)
{
    uint8_t message[sizeof(struct channel_header) + sizeof(reply->data)];
    struct channel_header header = {
        .bytes = (uint32_t)sizeof(header) + reply->bytes,
        .operation = operation,
        .status = (uint16_t)reply->status,
    };

    memcpy(message, &header, sizeof(header));
    memcpy(message + sizeof(header), reply->data, reply->bytes);
    if (send(client->fd, message, header.bytes, MSG_NOSIGNAL) == (ssize_t)header.bytes) {
        return true;
    }
    hang_up(client);
    return false;
}

static void greet(struct client *client, const uint8_t *payload, uint32_t bytes,
                  struct reply *reply)
{
    struct channel_hello hello;

    if (bytes != sizeof(hello)) {
        reply_error(reply, CHANNEL_BAD, "the first request must be HELLO");
        return;
    }
    memcpy(&hello, payload, sizeof(hello));
    if (hello.magic != CHANNEL_MAGIC || hello.version != CHANNEL_VERSION) {
        reply_error(reply, CHANNEL_BAD, "the plugin speaks version %u, the client %u",
                    CHANNEL_VERSION, hello.version);
        return;
    }
    client->greeted = true;
    services_welcome(reply);
}

/* One whole request. False: the connection has ended. */
static bool serve(struct client *client, const struct channel_header *header,
                  const uint8_t *payload)
{
    uint32_t bytes = header->bytes - (uint32_t)sizeof(*header);
    struct reply reply = {.status = CHANNEL_OK};

    if (header->operation == CHANNEL_HELLO || !client->greeted) {
        client->greeted = false;
        greet(client, payload, header->operation == CHANNEL_HELLO ? bytes : 0, &reply);
    } else {
        services_serve(header->operation, payload, bytes, &reply);
    }
    if (!answer(client, header->operation, &reply)) {
        return false;
    }
    if (!client->greeted) {
        hang_up(client);
    }
    return client->greeted;
}

/* All whole requests that have come; the begin of the next one moves to the front. */
static void serve_all(struct client *client)
{
    struct channel_header header;
    uint32_t done = 0;

    while (client->filled - done >= sizeof(header)) {
        memcpy(&header, client->message + done, sizeof(header));
        if (header.bytes < sizeof(header) || header.bytes > CHANNEL_MAX_BYTES) {
            hang_up(client);
            return;
        }
        if (client->filled - done < header.bytes) {
            break;
        }
        if (!serve(client, &header, client->message + done + sizeof(header))) {
            return;
        }
        done += header.bytes;
    }
    memmove(client->message, client->message + done, client->filled - done);
    client->filled -= done;
}

static void on_readable(void *opaque)
{
    struct client *client = opaque;
    ssize_t got = recv(client->fd, client->message + client->filled,
                       sizeof(client->message) - client->filled, MSG_DONTWAIT);

    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            hang_up(client);
        }
        return;
    }
    client->filled += (uint32_t)got;
    serve_all(client);
}

static void on_connection(void *opaque)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)opaque;
    if (fd < 0) {
        return;
    }
    for (size_t i = 0; i < CHANNEL_MAX_CLIENTS; i++) {
        if (clients[i].fd == NO_SOCKET) {
            clients[i].fd = fd;
            clients[i].filled = 0;
            clients[i].greeted = false;
            qemu_set_fd_handler(fd, on_readable, NULL, &clients[i]);
            return;
        }
    }
    close(fd);
}

void channel_serve(void)
{
    if (listener == NO_SOCKET) {
        return;
    }
    for (size_t i = 0; i < CHANNEL_MAX_CLIENTS; i++) {
        clients[i].fd = NO_SOCKET;
    }
    qemu_set_fd_handler(listener, on_connection, NULL, NULL);
}
