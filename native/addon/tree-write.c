/* The JavaScript side of the tree writer (tree-writer.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tree-writer.h"

struct write_job {
	struct job job;
	struct writer *w;
	napi_ref writer_ref, ops_ref, chunks_ref;
	const uint8_t *ops;
	size_t ops_len;
	struct chunk *chunks;
	size_t nchunks;
};

static int write_run_job(struct job *job)
{
	struct write_job *j = (struct write_job *)job;
	return writer_run(j->w, j->ops, j->ops_len, j->chunks, j->nchunks, &job->error);
}

static void write_clean(napi_env env, struct job *job)
{
	struct write_job *j = (struct write_job *)job;
	if (j->w != NULL)
		j->w->busy = false;
	if (j->writer_ref != NULL)
		napi_delete_reference(env, j->writer_ref);
	if (j->ops_ref != NULL)
		napi_delete_reference(env, j->ops_ref);
	if (j->chunks_ref != NULL)
		napi_delete_reference(env, j->chunks_ref);
	free(j->chunks);
	free(j);
}

static void writer_finalize(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	writer_release(data);
	free(data);
}

napi_value tree_writer(napi_env env, napi_callback_info info)
{
	napi_value a[1], out = NULL;
	int32_t root;
	if (!args_get(env, info, 1, a) || !arg_i32(env, a[0], &root))
		return NULL;
	struct writer *w = calloc(1, sizeof *w);
	if (w == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	w->magic = WRITER_MAGIC;
	w->file = -1;
	w->root = fcntl(root, F_DUPFD_CLOEXEC, 3);
	if (w->root < 0) {
		free(w);
		return error_throw(env, errno, "dup", NULL);
	}
	if (napi_create_external(env, w, writer_finalize, NULL, &out) != napi_ok) {
		writer_finalize(env, w, NULL);
		return error_throw(env, ENOMEM, "treeWriter", NULL);
	}
	return out;
}

static struct writer *writer_arg(napi_env env, napi_value v)
{
	struct writer *w = NULL;
	if (napi_get_value_external(env, v, (void **)&w) != napi_ok || w->magic != WRITER_MAGIC || w->closed || w->busy) {
		type_error(env, "expected a tree writer that is open and not at work");
		return NULL;
	}
	return w;
}

static bool take_chunks(napi_env env, napi_value array, struct write_job *j)
{
	uint32_t n = 0;
	if (napi_get_array_length(env, array, &n) != napi_ok)
		return type_error(env, "expected an array of bytes") != NULL;
	j->chunks = calloc(n > 0 ? n : 1, sizeof *j->chunks);
	if (j->chunks == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL) != NULL;
	for (uint32_t i = 0; i < n; i++) {
		napi_value v = NULL;
		if (napi_get_element(env, array, i, &v) != napi_ok || !arg_bytes(env, v, &j->chunks[i].data, &j->chunks[i].len))
			return false;
	}
	j->nchunks = n;
	return true;
}

napi_value tree_write(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	struct writer *w;
	if (!args_get(env, info, 3, a) || (w = writer_arg(env, a[0])) == NULL)
		return NULL;
	struct write_job *j = calloc(1, sizeof *j);
	if (j == NULL)
		return error_throw(env, ENOMEM, "malloc", NULL);
	j->job.run = write_run_job;
	j->job.clean = write_clean;
	uint8_t *ops;
	if (!arg_bytes(env, a[1], &ops, &j->ops_len) || !take_chunks(env, a[2], j) ||
	    napi_create_reference(env, a[0], 1, &j->writer_ref) != napi_ok ||
	    napi_create_reference(env, a[1], 1, &j->ops_ref) != napi_ok ||
	    napi_create_reference(env, a[2], 1, &j->chunks_ref) != napi_ok) {
		write_clean(env, &j->job);
		return NULL;
	}
	j->ops = ops;
	j->w = w;
	w->busy = true;
	return job_start(env, &j->job, "treeWrite");
}

napi_value tree_writer_close(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	struct writer *w;
	if (!args_get(env, info, 1, a) || (w = writer_arg(env, a[0])) == NULL)
		return NULL;
	writer_release(w);
	return value_undefined(env);
}
