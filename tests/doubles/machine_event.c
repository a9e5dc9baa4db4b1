/* SPDX-License-Identifier: BSD-3-Clause */
/* Eventfds: those that guests signal by writing, and those that interrupt guests. */
#include "double.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int eventfd_identity(int fd, unsigned *id)
{
    char path[64], line[128];
    FILE *info;
    int ret = -EINVAL;

    if (fcntl(fd, F_GETFD) < 0)
        return -EBADF;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = fopen(path, "re");
    if (info == NULL)
        return -EBADF;
    while (ret < 0 && fgets(line, sizeof(line), info) != NULL) {
        if (sscanf(line, "eventfd-id: %u", id) == 1)
            ret = 0;
    }
    fclose(info);
    return ret;
}

static int own_fd(int fd)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    return own < 0 ? -errno : own;
}

int machine_add_ioevent(struct machine *machine, const struct machine_ioevent *model)
{
    struct machine_ioevent *event = malloc(sizeof(*event));

    if (event == NULL)
        return -ENOMEM;
    *event = *model;
    event->fd = own_fd(model->fd);
    pthread_mutex_lock(&machine->lock);
    event->next = machine->ioevents;
    machine->ioevents = event;
    pthread_mutex_unlock(&machine->lock);
    return 0;
}

bool machine_remove_ioevent(struct machine *machine, const struct machine_ioevent *model,
                            bool (*is_like)(const struct machine_ioevent *one,
                                            const struct machine_ioevent *model))
{
    struct machine_ioevent **link = &machine->ioevents, *found;

    pthread_mutex_lock(&machine->lock);
    while (*link != NULL && is_like != NULL && !is_like(*link, model))
        link = &(*link)->next;
    found = *link;
    if (found != NULL)
        *link = found->next;
    pthread_mutex_unlock(&machine->lock);
    if (found == NULL)
        return false;
    close(found->fd);
    free(found);
    return true;
}

bool machine_signal_ioevent(struct machine *machine, uint64_t gpa, const uint8_t *data,
                            uint32_t size)
{
    uint64_t value = 0, one = 1;
    bool found = false;

    memcpy(&value, data, size < sizeof(value) ? size : sizeof(value));
    pthread_mutex_lock(&machine->lock);
    for (struct machine_ioevent *event = machine->ioevents; event != NULL && !found;
         event = event->next) {
        found = event->addr == gpa && (event->size == 0 || event->size == size) &&
                (!event->has_match || event->match == value);
        if (found && write(event->fd, &one, sizeof(one)) < 0)
            found = errno == EAGAIN; /* its count is at its end: the kernel's stays there too */
    }
    pthread_mutex_unlock(&machine->lock);
    return found;
}

/* Waits for the eventfds of irqfds; epoll names the irqfd's eventfd, not its address, since it may
 * be gone meanwhile. */
static void *wait_for_irqfds(void *arg)
{
    struct machine *machine = arg;
    struct epoll_event event;

    for (;;) {
        int number = epoll_wait(machine->poll, &event, 1, -1);
        struct machine_irqfd *irqfd, copy;
        uint64_t count;

        if (number != 1)
            continue;
        if (event.data.fd == machine->stop)
            return NULL;
        pthread_mutex_lock(&machine->lock);
        irqfd = machine->irqfds;
        while (irqfd != NULL && irqfd->fd != event.data.fd)
            irqfd = irqfd->next;
        if (irqfd != NULL) {
            copy = *irqfd;
            if (!machine->keeps_count && read(irqfd->fd, &count, sizeof(count)) < 0)
                irqfd = NULL; /* somebody else took it */
        }
        pthread_mutex_unlock(&machine->lock);
        if (irqfd != NULL)
            machine->signal(machine, &copy);
    }
}

static void add_to_poll(struct machine *machine, int fd, uint32_t how)
{
    struct epoll_event event = {.events = EPOLLIN | how, .data.fd = fd};

    if (epoll_ctl(machine->poll, EPOLL_CTL_ADD, fd, &event) < 0)
        double_die("epoll_ctl: %s", strerror(errno));
}

static void need_thread(struct machine *machine)
{
    if (machine->poll >= 0)
        return;
    machine->poll = epoll_create1(EPOLL_CLOEXEC);
    machine->stop = eventfd(0, EFD_CLOEXEC);
    if (machine->poll < 0 || machine->stop < 0)
        double_die("epoll: %s", strerror(errno));
    add_to_poll(machine, machine->stop, 0);
    /* All signals are blocked here, and so in the new thread. */
    if (pthread_create(&machine->thread, NULL, wait_for_irqfds, machine) != 0)
        double_die("no thread");
}

int machine_add_irqfd(struct machine *machine, const struct machine_irqfd *model)
{
    struct machine_irqfd *irqfd = malloc(sizeof(*irqfd));

    if (irqfd == NULL)
        return -ENOMEM;
    *irqfd = *model;
    irqfd->fd = own_fd(model->fd);
    pthread_mutex_lock(&machine->lock);
    need_thread(machine);
    irqfd->next = machine->irqfds;
    machine->irqfds = irqfd;
    /* Each write is an edge, also while the count is not zero. */
    add_to_poll(machine, irqfd->fd, machine->keeps_count ? EPOLLET : 0);
    pthread_mutex_unlock(&machine->lock);
    return 0;
}

bool machine_remove_irqfd(struct machine *machine, const struct machine_irqfd *model,
                          bool (*is_like)(const struct machine_irqfd *one,
                                          const struct machine_irqfd *model))
{
    struct machine_irqfd **link = &machine->irqfds, *found;

    pthread_mutex_lock(&machine->lock);
    while (*link != NULL && is_like != NULL && !is_like(*link, model))
        link = &(*link)->next;
    found = *link;
    if (found != NULL) {
        *link = found->next;
        epoll_ctl(machine->poll, EPOLL_CTL_DEL, found->fd, NULL);
        close(found->fd);
    }
    pthread_mutex_unlock(&machine->lock);
    free(found);
    return found != NULL;
}

void machine_stop_irqfds(struct machine *machine)
{
    uint64_t one = 1;

    if (machine->poll < 0)
        return;
    if (write(machine->stop, &one, sizeof(one)) < 0)
        double_die("eventfd: %s", strerror(errno));
    pthread_join(machine->thread, NULL);
    while (machine_remove_irqfd(machine, NULL, NULL))
        ;
    close(machine->poll);
    close(machine->stop);
}
