/* The log: lines, partial records, what a stream ends with, and the repair of a torn end. */
#include "../shim/log.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "check.h"

static const char *dir;
static int dirfd;

static void say(struct log *log, int stream, const char *text, int64_t time) { log_write(log, stream, (const uint8_t *)text, strlen(text), time); }

/* "time stream flags data|" for each record of one file. */
static const char *dump_of(const char *name)
{
	static char out[1 << 20];
	size_t used = 0;
	char path[128];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "r");
	CHECK(f != NULL);
	uint8_t h[LOG_HEADER];
	out[0] = '\0';
	while (fread(h, 1, sizeof h, f) == sizeof h) {
		uint32_t len = h[8] | h[9] << 8 | h[10] << 16 | (uint32_t)h[11] << 24, again;
		static char data[LOG_LINE_MAX + 1];
		CHECK(len <= LOG_LINE_MAX && fread(data, 1, len, f) == len && fread(&again, 1, 4, f) == 4);
		EQ(again, len);
		EQ(h[14] | h[15] << 8, LOG_MAGIC);
		data[len] = '\0';
		if (len > 100)
			snprintf(data, sizeof data, "<%u>", len);
		used += (size_t)snprintf(out + used, sizeof out - used, "%d %d %d %s|", h[0], h[12], h[13], data);
	}
	fclose(f);
	return out;
}

static const char *dump(void) { return dump_of("log"); }

static void done(struct log *log)
{
	log_end(log, 1, 9);
	log_end(log, 2, 9);
	close(log->fd);
}

static void fresh(struct log *log)
{
	unlinkat(dirfd, "log", 0);
	*log = (struct log){ .fd = -1 };
	OK(log_open(log, dirfd, (struct log_bound){ 0, 1 }, &err));
}

static void lines(void)
{
	struct log log;
	fresh(&log);
	say(&log, 1, "one\ntwo\nthr", 1);
	STR(dump(), "1 1 0 one|1 1 0 two|");
	say(&log, 2, "err\n", 2);
	say(&log, 1, "ee\n\nrest", 3);
	STR(dump(), "1 1 0 one|1 1 0 two|2 2 0 err|3 1 0 three|3 1 0 |");
	log_end(&log, 1, 4);
	log_end(&log, 2, 5);
	STR(dump(), "1 1 0 one|1 1 0 two|2 2 0 err|3 1 0 three|3 1 0 |4 1 0 rest|");
	close(log.fd);
}

static void long_lines(void)
{
	struct log log;
	static char text[40001];
	memset(text, 'x', 40000);
	fresh(&log);
	say(&log, 1, text, 1);
	say(&log, 1, "\nnext\n", 2);
	STR(dump(), "1 1 1 <16384>|1 1 1 <16384>|2 1 0 <7232>|2 1 0 next|");
	done(&log);
	/* Byte by byte it is the same. */
	fresh(&log);
	for (int i = 0; i < 40000; i++)
		log_write(&log, 1, (const uint8_t *)"x", 1, 1);
	say(&log, 1, "\n", 2);
	STR(dump(), "1 1 1 <16384>|1 1 1 <16384>|2 1 0 <7232>|");
	done(&log);
	/* Many in one go. */
	fresh(&log);
	for (size_t i = 1; i < sizeof text - 1; i += 2)
		text[i] = '\n';
	say(&log, 1, text, 3);
	const char *all = dump();
	size_t count = 0;
	for (const char *at = all; *at != '\0'; at++)
		count += *at == '|';
	EQ(count, 20000);
	done(&log);
}

static void torn(void)
{
	struct log log;
	struct stat st;
	for (int cut = 1; cut < 20; cut++) {
		fresh(&log);
		say(&log, 1, "whole\nbroken\n", 1);
		CHECK(fstat(log.fd, &st) == 0 && ftruncate(log.fd, st.st_size - cut) == 0);
		close(log.fd);
		OK(log_open(&log, dirfd, (struct log_bound){ 0, 1 }, &err));
		say(&log, 1, "after\n", 2);
		STR(dump(), "1 1 0 whole|2 1 0 after|");
		close(log.fd);
	}
	/* Not a log at all. */
	put_file(dir, "log", "nothing of the kind, and long enough to be taken for a record of some sort\n");
	OK(log_open(&log, dirfd, (struct log_bound){ 0, 1 }, &err));
	say(&log, 2, "x\n", 1);
	STR(dump(), "1 2 0 x|");
	close(log.fd);
}

/* A record has 20 bytes and its line: three lines of four letters are 72 bytes. */
static void bounded(void)
{
	struct log log = { .fd = -1 };
	unlinkat(dirfd, "log", 0);
	OK(log_open(&log, dirfd, (struct log_bound){ 72, 3 }, &err));
	say(&log, 1, "aaaa\nbbbb\ncccc\n", 1);
	STR(dump(), "1 1 0 aaaa|1 1 0 bbbb|1 1 0 cccc|");
	CHECK(faccessat(dirfd, "log.1", F_OK, 0) < 0);
	say(&log, 1, "dddd\neee", 2);
	STR(dump_of("log.1"), "1 1 0 aaaa|1 1 0 bbbb|1 1 0 cccc|");
	STR(dump(), "2 1 0 dddd|");
	say(&log, 1, "e\nffff\ngggg\nhhhh\niiii\njjjj\nkkkk\n", 3);
	STR(dump_of("log.2"), "2 1 0 dddd|3 1 0 eeee|3 1 0 ffff|");
	STR(dump_of("log.1"), "3 1 0 gggg|3 1 0 hhhh|3 1 0 iiii|");
	STR(dump(), "3 1 0 jjjj|3 1 0 kkkk|");
	CHECK(faccessat(dirfd, "log.3", F_OK, 0) < 0);
	done(&log);
	/* Opened again it goes on; a line longer than the bound has a file of its own. */
	OK(log_open(&log, dirfd, (struct log_bound){ 72, 2 }, &err));
	say(&log, 2, "a line that is longer than all of the seventy-two bytes that a file may have\nx\n", 4);
	STR(dump_of("log.1"), "4 2 0 a line that is longer than all of the seventy-two bytes that a file may have|");
	STR(dump(), "4 2 0 x|");
	done(&log);
	/* One file is begun anew. */
	OK(log_open(&log, dirfd, (struct log_bound){ 72, 1 }, &err));
	say(&log, 1, "aaaa\nbbbb\ncccc\n", 5);
	STR(dump(), "5 1 0 cccc|");
	done(&log);
	for (int n = 1; n < 4; n++) {
		char name[8];
		snprintf(name, sizeof name, "log.%d", n);
		unlinkat(dirfd, name, 0);
	}
}

static void full_disk(void)
{
	struct log log;
	struct rlimit before, small = { .rlim_cur = 100 };
	signal(SIGXFSZ, SIG_IGN);
	CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
	small.rlim_max = before.rlim_max;
	fresh(&log);
	say(&log, 1, "fits\n", 1);
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	say(&log, 1, "this does not, for it is longer than what is left of one hundred bytes, all in all and with its header\n", 2);
	CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
	say(&log, 1, "fits again\n", 3);
	STR(dump(), "1 1 0 fits|3 1 0 fits again|");
	done(&log);
}

int main(void)
{
	dir = temp_dir();
	dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	lines();
	long_lines();
	torn();
	bounded();
	full_disk();
	remove_dir(dir);
	return 0;
}
