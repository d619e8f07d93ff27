#ifndef GANTRY_OVERLAY_H
#define GANTRY_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/*
 * An overlay as libs/snapshots describes it (OverlayRootfs): every path is relative to `base`, the topmost of `lowers` first;
 * `upper` and `work` are NULL for a read-only view. All mounts of one upper must be made by these functions, so that they
 * agree on the features: index, metacopy, redirect_dir and xino are off (an upper is then a plain difference of files that can
 * be read, moved and stacked offline).
 */
struct overlay {
	const char *base;
	const char *const *lowers;
	size_t nlowers;
	const char *upper;
	const char *work;
	bool is_volatile;
};

/*
 * By the new mount API with one `lowerdir+` a layer (Linux 6.5): no limit of one page. `attr` are MOUNT_ATTR_* flags.
 * Answers the descriptor of a detached mount (for move_mount), close-on-exec. err->code EINVAL or ENOSYS before the mount was
 * tried at all means an older kernel: take overlay_mount_here.
 */
int overlay_fsmount(const struct overlay *o, unsigned attr, struct err *err);

/*
 * By mount(2) at `target`, with paths relative to the caller's working directory, which must be `base`. The options must fit
 * one page. `flags` are MS_* flags.
 */
int overlay_mount_here(const struct overlay *o, const char *target, unsigned long flags, struct err *err);

/* Whether the error of overlay_fsmount asks for overlay_mount_here. */
bool overlay_needs_old_api(const struct err *err);

#endif
