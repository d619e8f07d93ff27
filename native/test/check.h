#ifndef GANTRY_CHECK_H
#define GANTRY_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/err.h"

#define CHECK(what)                                                                     \
	do {                                                                            \
		if (!(what)) {                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);      \
			abort();                                                        \
		}                                                                       \
	} while (0)

#define EQ(a, b)                                                                                                  \
	do {                                                                                                      \
		long long a_ = (long long)(a), b_ = (long long)(b);                                               \
		if (a_ != b_) {                                                                                   \
			fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #a, a_, b_);         \
			abort();                                                                                  \
		}                                                                                                 \
	} while (0)

#define STR(a, b)                                                                                                 \
	do {                                                                                                      \
		const char *a_ = (a), *b_ = (b);                                                                  \
		if (strcmp(a_, b_) != 0) {                                                                        \
			fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #a, a_, b_);     \
			abort();                                                                                  \
		}                                                                                                 \
	} while (0)

/* A call with `&err` as its last argument. */
#define OK(call)                                                                                                  \
	do {                                                                                                      \
		struct err err = { 0 };                                                                           \
		if ((call) < 0) {                                                                                 \
			fprintf(stderr, "%s:%d: %s: %s (%d)\n", __FILE__, __LINE__, #call, err.msg, err.code);    \
			abort();                                                                                  \
		}                                                                                                 \
	} while (0)

#define FAILS(call, text)                                                                                         \
	do {                                                                                                      \
		struct err err = { 0 };                                                                           \
		if ((call) >= 0 || strstr(err.msg, text) == NULL) {                                               \
			fprintf(stderr, "%s:%d: %s: \"%s\"\n", __FILE__, __LINE__, #call, err.msg);               \
			abort();                                                                                  \
		}                                                                                                 \
	} while (0)

static inline char *temp_dir(void)
{
	static char path[64];
	snprintf(path, sizeof path, "%s/gantry-test-XXXXXX", "/tmp");
	CHECK(mkdtemp(path) != NULL);
	return path;
}

static inline void remove_dir(const char *path)
{
	char command[4200];
	snprintf(command, sizeof command, "rm -rf '%s'", path);
	CHECK(system(command) == 0);
}

static inline void put_file(const char *dir, const char *name, const char *text)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static inline char *get_file(const char *dir, const char *name)
{
	static char text[65536];
	char path[4200];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "r");
	CHECK(f != NULL);
	size_t n = fread(text, 1, sizeof text - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

#endif
