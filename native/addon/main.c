/*
 * gantry.node: what may be done safely inside Node's own threads. `require` answers { fs, net, fdpass }, each the functions of
 * one module. A module that was not linked in is absent.
 */
#include "napi-util.h"

napi_value init_fs(napi_env env, napi_value exports);
napi_value init_net(napi_env env, napi_value exports) __attribute__((weak));
napi_value init_fdpass(napi_env env, napi_value exports) __attribute__((weak));

static bool add_module(napi_env env, napi_value exports, const char *name, napi_value (*init)(napi_env, napi_value))
{
	if (init == NULL)
		return true;
	napi_value object = NULL;
	if (napi_create_object(env, &object) != napi_ok || init(env, object) == NULL)
		return false;
	return set_named(env, exports, name, object);
}

NAPI_MODULE_INIT()
{
	if (!add_module(env, exports, "fs", init_fs) || !add_module(env, exports, "net", init_net) ||
	    !add_module(env, exports, "fdpass", init_fdpass))
		return NULL;
	return exports;
}
