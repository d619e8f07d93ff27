#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "mounts.h"

struct word { const char *name; bool clear; unsigned long flag; uint64_t attr; };
static const struct word FLAGS[] = {
	{ "ro", false, MS_RDONLY, MOUNT_ATTR_RDONLY },
	{ "rro", false, MS_RDONLY, MOUNT_ATTR_RDONLY },
	{ "rw", true, MS_RDONLY, MOUNT_ATTR_RDONLY },
	{ "nosuid", false, MS_NOSUID, MOUNT_ATTR_NOSUID },
	{ "suid", true, MS_NOSUID, MOUNT_ATTR_NOSUID },
	{ "nodev", false, MS_NODEV, MOUNT_ATTR_NODEV },
	{ "dev", true, MS_NODEV, MOUNT_ATTR_NODEV },
	{ "noexec", false, MS_NOEXEC, MOUNT_ATTR_NOEXEC },
	{ "exec", true, MS_NOEXEC, MOUNT_ATTR_NOEXEC },
	{ "noatime", false, MS_NOATIME, MOUNT_ATTR_NOATIME },
	{ "atime", true, MS_NOATIME, MOUNT_ATTR_NOATIME },
	{ "relatime", false, MS_RELATIME, 0 },
	{ "norelatime", true, MS_RELATIME, 0 },
	{ "strictatime", false, MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
	{ "nostrictatime", true, MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
	{ "nodiratime", false, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
	{ "diratime", true, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
	{ "nosymfollow", false, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
	{ "sync", false, MS_SYNCHRONOUS, 0 },
	{ "async", true, MS_SYNCHRONOUS, 0 },
	{ "dirsync", false, MS_DIRSYNC, 0 },
	{ "defaults", false, 0, 0 },
};

static const struct { const char *name; unsigned long flags; } PROPAGATIONS[] = {
	{ "private", MS_PRIVATE },	 { "rprivate", MS_PRIVATE | MS_REC }, { "slave", MS_SLAVE },
	{ "rslave", MS_SLAVE | MS_REC }, { "shared", MS_SHARED },	      { "rshared", MS_SHARED | MS_REC },
	{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
};

static bool known(const char *word, struct mount_options *o)
{
	if (strcmp(word, "bind") == 0 || strcmp(word, "rbind") == 0) {
		o->bind = true;
		o->recursive = word[0] == 'r';
		return true;
	}
	for (size_t i = 0; i < sizeof PROPAGATIONS / sizeof *PROPAGATIONS; i++) {
		if (strcmp(word, PROPAGATIONS[i].name) == 0) {
			o->propagation = PROPAGATIONS[i].flags;
			return true;
		}
	}
	for (size_t i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++) {
		const struct word *f = &FLAGS[i];
		if (strcmp(word, f->name) != 0)
			continue;
		if (f->clear) {
			o->flags &= ~f->flag;
			o->attr_set &= ~f->attr;
			o->attr_clear |= f->attr;
		} else {
			o->flags |= f->flag;
			o->attr_set |= f->attr;
			o->attr_clear &= ~f->attr;
		}
		return true;
	}
	return false;
}

int mount_options_parse(const struct strs *options, struct mount_options *out, struct err *err)
{
	*out = (struct mount_options){ 0 };
	size_t used = 0;
	for (uint32_t i = 0; i < options->n; i++) {
		const char *word = options->v[i];
		if (*word == '\0' || known(word, out))
			continue;
		int n = snprintf(out->data + used, sizeof out->data - used, "%s%s", used > 0 ? "," : "", word);
		if (n < 0 || (size_t)n >= sizeof out->data - used)
			return err_set(err, E2BIG, "mount options are too long");
		used += (size_t)n;
	}
	/* The kinds of access time are one field, of which all bits are cleared before one is set. */
	if (out->attr_set & (MOUNT_ATTR_NOATIME | MOUNT_ATTR_STRICTATIME))
		out->attr_clear |= MOUNT_ATTR__ATIME;
	else
		out->attr_clear &= ~(uint64_t)(MOUNT_ATTR_NOATIME | MOUNT_ATTR_STRICTATIME);
	return 0;
}
