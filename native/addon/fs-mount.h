#ifndef GANTRY_FS_MOUNT_H
#define GANTRY_FS_MOUNT_H

#include <node_api.h>

/* mountOverlay(rootfs, target): Promise<void>; unmount(target, detach): Promise<void>. */
napi_value fs_mount_overlay(napi_env env, napi_callback_info info);
napi_value fs_unmount(napi_env env, napi_callback_info info);

#endif
