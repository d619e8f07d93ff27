/*
 * nft commands through libnftables, in this process.
 */
#include <errno.h>
#include <nftables/libnftables.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "napi-util.h"
#include "net.h"

enum { COMMANDS_MAX = 16 * 1024 * 1024 };

/* One context for the process, used by one thread at a time: libnftables keeps its parser's and cache's state in it. */
static pthread_mutex_t nft_lock = PTHREAD_MUTEX_INITIALIZER;
static struct nft_ctx *nft;

struct nft_work {
	napi_async_work work;
	napi_deferred deferred;
	char *commands;
	char *output;
	struct err err;
	bool failed;
};

static bool open_context(void)
{
	if (nft != NULL)
		return true;
	nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (nft != NULL && nft_ctx_buffer_output(nft) == 0 && nft_ctx_buffer_error(nft) == 0)
		return true;
	if (nft != NULL)
		nft_ctx_free(nft);
	nft = NULL;
	return false;
}

/*
 * nft's first complaint, on one line. libnftables gives no errno; its message has the kernel's word at the end of that line
 * (`Error: Could not process rule: No such file or directory`).
 */
static void complaint(struct err *err, const char *text)
{
	static const char prefix[] = "Error: ";
	static const int known[] = { ENOENT, EEXIST, EPERM, EBUSY, EOPNOTSUPP, EINVAL, ENOMEM };
	const char *at = strstr(text, prefix);
	at = at != NULL ? at + strlen(prefix) : text;
	int n = (int)strcspn(at, "\n");
	int code = EINVAL;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		const char *word = strerror(known[i]);
		int len = (int)strlen(word);
		if (n >= len && strncmp(at + n - len, word, (size_t)len) == 0)
			code = known[i];
	}
	if (n == 0)
		err_set(err, code, "nft failed without a message");
	else
		err_set(err, code, "nft: %.*s", n, at);
}

static void run(napi_env env, void *data)
{
	(void)env;
	struct nft_work *w = data;
	pthread_mutex_lock(&nft_lock);
	if (!open_context()) {
		w->failed = true;
		err_set(&w->err, ENOMEM, "nft: no context");
	} else {
		w->failed = nft_run_cmd_from_buffer(nft, w->commands) != 0;
		/* Taking a buffer also rewinds it, so both are taken every time. */
		const char *complaints = nft_ctx_get_error_buffer(nft);
		const char *output = nft_ctx_get_output_buffer(nft);
		if (w->failed)
			complaint(&w->err, complaints != NULL ? complaints : "");
		else
			w->output = strdup(output != NULL ? output : "");
	}
	pthread_mutex_unlock(&nft_lock);
}

static void finish(napi_env env, napi_status status, void *data)
{
	struct nft_work *w = data;
	napi_value output = NULL;
	if (!w->failed && (status != napi_ok || w->output == NULL ||
			   napi_create_string_utf8(env, w->output, NAPI_AUTO_LENGTH, &output) != napi_ok)) {
		w->failed = true;
		err_set(&w->err, status == napi_cancelled ? ECANCELED : ENOMEM, "nft: no answer");
	}
	if (w->failed)
		napi_reject_deferred(env, w->deferred, net_error_new(env, &w->err, "nft"));
	else
		napi_resolve_deferred(env, w->deferred, output);
	napi_delete_async_work(env, w->work);
	free(w->commands);
	free(w->output);
	free(w);
}

/* The commands of a host with thousands of ports are large. NULL with an exception pending. */
static char *arg_commands(napi_env env, napi_value v)
{
	size_t len;
	if (napi_get_value_string_utf8(env, v, NULL, 0, &len) != napi_ok || len > COMMANDS_MAX) {
		type_error(env, "nft: a string of at most 16 MiB is needed");
		return NULL;
	}
	char *text = malloc(len + 1);
	if (text == NULL)
		error_throw(env, ENOMEM, "nft", NULL);
	else
		napi_get_value_string_utf8(env, v, text, len + 1, &len);
	return text;
}

napi_value net_nft(napi_env env, napi_callback_info info)
{
	napi_value a[1], name, promise;
	if (!args_get(env, info, 1, a))
		return NULL;
	cleanup_free char *commands = arg_commands(env, a[0]);
	if (commands == NULL)
		return NULL;
	struct nft_work *w = calloc(1, sizeof *w);
	if (w == NULL)
		return error_throw(env, ENOMEM, "nft", NULL);
	if (napi_create_string_utf8(env, "gantry:nft", NAPI_AUTO_LENGTH, &name) != napi_ok ||
	    napi_create_promise(env, &w->deferred, &promise) != napi_ok ||
	    napi_create_async_work(env, NULL, name, run, finish, w, &w->work) != napi_ok) {
		free(w);
		return error_throw(env, ENOMEM, "nft", NULL);
	}
	w->commands = commands;
	commands = NULL;
	if (napi_queue_async_work(env, w->work) != napi_ok) {
		napi_delete_async_work(env, w->work);
		free(w->commands);
		free(w);
		return error_throw(env, ENOMEM, "nft", NULL);
	}
	return promise;
}
