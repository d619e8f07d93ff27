/*
 * wire DEVICE DEVICE MILLISECONDS [OWNER]: a cable between two network interfaces on which each frame is late by a constant time, in
 * both directions and in order. Ends when an interface goes away, or when the lock on the file OWNER becomes free.
 * Kernels without netem have nothing else for this.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Frames under way in one direction at most; more are dropped, as a full queue does. */
#define QUEUE 8192
#define LARGEST (1 << 17)

struct frame {
	int64_t due;
	size_t size;
	char *data;
};

struct direction {
	int from, to;
	struct frame frames[QUEUE];
	unsigned head, count;
};

static struct direction ways[2];

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void fatal(const char *what)
{
	perror(what);
	exit(1);
}

static int open_interface(const char *name)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, space = 8 << 20;
	if (fd < 0)
		fatal("socket");
	/* Segments that a host left for its network card to cut come with what the card would need to know. */
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) < 0)
		fatal("PACKET_VNET_HDR");
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof space);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &space, sizeof space);
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name) };
	if (at.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
		fatal(name);
	return fd;
}

static void take(struct direction *way, int64_t late)
{
	static char buffer[LARGEST];
	for (;;) {
		ssize_t n = recv(way->from, buffer, sizeof buffer, MSG_TRUNC);
		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				return;
			fatal("receive");
		}
		if (way->count == QUEUE || n > (ssize_t)sizeof buffer)
			continue;
		struct frame *f = &way->frames[(way->head + way->count) % QUEUE];
		f->data = malloc((size_t)n);
		if (f->data == NULL)
			continue;
		memcpy(f->data, buffer, (size_t)n);
		f->size = (size_t)n;
		f->due = now_us() + late;
		way->count++;
	}
}

/* Sends what is due; answers when the next frame is, in microseconds, or -1. */
static int64_t give(struct direction *way)
{
	while (way->count > 0) {
		struct frame *f = &way->frames[way->head];
		int64_t wait = f->due - now_us();
		if (wait > 0)
			return wait;
		/* What the other side has no room for is lost, as on any cable. */
		if (send(way->to, f->data, f->size, 0) < 0 && (errno == ENXIO || errno == ENODEV))
			exit(0);
		free(f->data);
		way->head = (way->head + 1) % QUEUE;
		way->count--;
	}
	return -1;
}

int main(int argc, char **argv)
{
	if (argc < 4 || argc > 5) {
		fprintf(stderr, "usage: wire DEVICE DEVICE MILLISECONDS [OWNER]\n");
		return 2;
	}
	int a = open_interface(argv[1]), b = open_interface(argv[2]);
	int64_t late = atoll(argv[3]) * 1000;
	int owner = argc == 5 ? open(argv[4], O_RDONLY | O_CLOEXEC) : -1;
	ways[0].from = ways[1].to = a;
	ways[0].to = ways[1].from = b;
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int64_t first = give(&ways[0]), second = give(&ways[1]);
		int64_t wait = first < 0 || (second >= 0 && second < first) ? second : first;
		if (wait < 0 || wait > 500000)
			wait = 500000;
		struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
		struct timespec t = { .tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000 };
		ppoll(p, 2, &t, NULL);
		if ((p[0].revents | p[1].revents) & (POLLERR | POLLHUP | POLLNVAL) && (if_nametoindex(argv[1]) == 0 || if_nametoindex(argv[2]) == 0))
			return 0;
		take(&ways[0], late);
		take(&ways[1], late);
		if (owner >= 0 && flock(owner, LOCK_SH | LOCK_NB) == 0)
			return 0;
	}
}
