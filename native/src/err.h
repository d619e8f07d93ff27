#ifndef GANTRY_ERR_H
#define GANTRY_ERR_H

/*
 * An error as the last argument of every function that can fail: what was being done, and errno.
 * Functions answer 0 (or a descriptor) on success and -1 on failure, with *err filled.
 */
struct err {
	int code;      /* errno, or 0 where the system had none */
	char msg[480]; /* what was wrong, for the user; no newline */
};

/* Fills err and answers -1, so that callers can `return err_set(err, errno, "mount %s", path)`. err may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
