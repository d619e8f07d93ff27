#ifndef GANTRY_FS_LOCK_H
#define GANTRY_FS_LOCK_H

#include <node_api.h>

/* flock(fd, exclusive): Promise<void>. */
napi_value fs_flock(napi_env env, napi_callback_info info);

#endif
