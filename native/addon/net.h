#ifndef GANTRY_ADDON_NET_H
#define GANTRY_ADDON_NET_H

#include <node_api.h>

#include "../src/err.h"

/* A Node-style error with err's message, code (ENOENT …), errno (negative) and syscall. */
napi_value net_error_new(napi_env env, const struct err *err, const char *syscall);

/* `nft(commands)`: runs on libuv's pool and answers a promise of nft's output. */
napi_value net_nft(napi_env env, napi_callback_info info);

#endif
