/* Messages: what the writer writes the reader reads; what is cut short, too long or senseless is refused and never read beyond. */
#include "../src/spec.h"
#include "check.h"

static void write_spec(struct wr *w)
{
	const char *one[] = { "id", "/dir" };
	for (int i = 0; i < 2; i++)
		wr_str(w, one[i]);
	wr_u32(w, 2); wr_str(w, "sh"); wr_str(w, "-c"); /* args */
	wr_u32(w, 1); wr_str(w, "PATH=/bin");
	wr_str(w, "/"); wr_str(w, "user");
	wr_u32(w, 0);
	wr_str(w, "host"); wr_str(w, "");
	wr_u8(w, 0); wr_u8(w, 1); wr_u8(w, 0); wr_u32(w, 24); wr_u32(w, 80);
	wr_str(w, "/base"); wr_u32(w, 1); wr_str(w, "l/1"); wr_u8(w, 1); wr_str(w, "u"); wr_u8(w, 1); wr_str(w, "w"); wr_u8(w, 1);
	wr_u8(w, 0);
	wr_u32(w, 1); wr_str(w, "/proc"); wr_str(w, "proc"); wr_str(w, "proc"); wr_u32(w, 1); wr_str(w, "nosuid");
	wr_str(w, "new");
	for (int i = 0; i < 5; i++)
		wr_str(w, "new");
	wr_str(w, "host");
	wr_u32(w, 0); wr_u32(w, 0);
	wr_u32(w, 1); wr_str(w, "br0"); wr_str(w, "v0"); wr_str(w, "eth0"); wr_str(w, ""); wr_u32(w, 1); wr_str(w, "10.0.0.2/24"); wr_u8(w, 0); wr_u8(w, 0); wr_u32(w, 1500);
	wr_u8(w, 1);
	wr_u32(w, 1); wr_str(w, "CAP_CHOWN");
	wr_u8(w, 2); wr_u32(w, 0x50001); wr_u32(w, 0); wr_u32(w, 0); wr_u32(w, 1); wr_str(w, "clone"); wr_u32(w, 0x7fff0000);
	wr_u32(w, 1); wr_u32(w, 0); wr_u32(w, 7); wr_i64(w, 0x7e020000); wr_i64(w, 0);
	wr_u8(w, 1);
	wr_u32(w, 1); wr_str(w, "nofile"); wr_i64(w, -1); wr_i64(w, 1024);
	wr_u32(w, 1); wr_str(w, "net.ipv4.ip_forward"); wr_str(w, "1");
	wr_u32(w, 1); wr_str(w, "/dev/null"); wr_str(w, "c");
	for (int i = 0; i < 5; i++)
		wr_u32(w, (uint32_t)i);
	wr_str(w, "rwm");
	wr_u32(w, 0); wr_u32(w, 0);
	wr_u8(w, 0); wr_u8(w, 0);
	wr_str(w, "parent/id");
	wr_u8(w, 1); wr_i64(w, 1 << 20);
	for (int i = 0; i < 9; i++)
		wr_u8(w, 0);
	wr_u8(w, 0);
	wr_u32(w, 1); wr_str(w, "a *:* rwm");
	wr_u8(w, 1); wr_i64(w, -5); wr_u8(w, 0);
	wr_str(w, "SIGTERM"); wr_u8(w, 1); wr_i64(w, 4096); wr_u32(w, 3);
}

static int decode(uint8_t *data, size_t len, struct spec *s, struct arena *arena, struct err *err)
{
	struct rd r = { .at = data, .end = data + len, .arena = arena };
	return spec_decode(&r, s, err);
}

/* A copy of exactly this size, so that the sanitizer sees a read past its end. */
static int decode_copy(const uint8_t *data, size_t len)
{
	struct arena arena = { 0 };
	struct spec s;
	uint8_t *copy = malloc(len > 0 ? len : 1);
	memcpy(copy, data, len);
	int r = decode(copy, len, &s, &arena, NULL);
	arena_free(&arena);
	free(copy);
	return r;
}

static void whole(void)
{
	struct wr w = { 0 };
	struct arena arena = { 0 };
	struct spec s;
	write_spec(&w);
	CHECK(!w.bad);
	OK(decode(w.buf, w.len, &s, &arena, &err));
	STR(s.id, "id"); STR(s.args.v[1], "-c"); CHECK(s.args.v[2] == NULL); STR(s.user, "user"); CHECK(!s.terminal && s.open_stdin);
	STR(s.rootfs.upper, "u"); CHECK(s.rootfs.is_volatile); STR(s.mounts[0].options.v[0], "nosuid");
	STR(s.networks[0].addresses.v[0], "10.0.0.2/24"); CHECK(s.networks[0].gateway == NULL); EQ(s.networks[0].mtu, 1500);
	EQ(s.seccomp.rules[0].args[0].value, 0x7e020000); EQ(s.rlimits[0].soft, -1); EQ(s.devices[0].gid, 4);
	CHECK(s.cgroup.memory.set && !s.cgroup.memory_swap.set && s.cgroup.cpuset_cpus == NULL); EQ(s.cgroup.memory.v, 1 << 20);
	EQ(s.oom_score_adj.v, -5); CHECK(!s.umask.set && s.log); EQ(s.log_bound.max_bytes, 4096); EQ(s.log_bound.max_files, 3);
	arena_free(&arena);

	/* Every beginning of it is refused. */
	for (size_t len = 0; len < w.len; len++)
		EQ(decode_copy(w.buf, len), -1);
	/* So is more than it. */
	wr_u8(&w, 0);
	EQ(decode_copy(w.buf, w.len), -1);

	/* Any byte changed to anything: no crash, no read outside. */
	srand(4711);
	for (int i = 0; i < 60000; i++) {
		size_t at = (size_t)rand() % (w.len - 1);
		uint8_t was = w.buf[at];
		w.buf[at] = (uint8_t)rand();
		uint8_t *four = w.buf + (size_t)rand() % (w.len - 4), saved[4];
		memcpy(saved, four, 4);
		if (i % 3 == 0)
			memset(four, 0xff, 4);
		decode_copy(w.buf, w.len - 1);
		memcpy(four, saved, 4);
		w.buf[at] = was;
	}
	wr_free(&w);
}

static void refused(void)
{
	struct wr w = { 0 };
	struct arena arena = { 0 };
	/* A string with a zero byte in it, and one without the zero behind it. */
	uint8_t zero[] = { 3, 0, 0, 0, 'a', 0, 'b', 0 }, open[] = { 1, 0, 0, 0, 'a', 'b' };
	struct rd r = { .at = zero, .end = zero + sizeof zero, .arena = &arena };
	STR(rd_str(&r), ""); CHECK(r.bad); EQ(rd_u32(&r), 0);
	r = (struct rd){ .at = open, .end = open + sizeof open, .arena = &arena };
	rd_str(&r); CHECK(r.bad);
	/* More elements than bytes. */
	wr_u32(&w, 0xffffffff);
	r = (struct rd){ .at = w.buf, .end = w.buf + w.len, .arena = &arena };
	CHECK(rd_strs(&r).n == 0 && r.bad);
	/* A flag that is neither 0 nor 1. */
	uint8_t two = 2;
	r = (struct rd){ .at = &two, .end = &two + 1, .arena = &arena };
	rd_bool(&r); CHECK(r.bad);
	wr_free(&w);
	arena_free(&arena);
}

static void relative_paths(void)
{
	CHECK(spec_is_relative_path("a/b"));
	const char *bad[] = { "", "/a", "a/", "a//b", "..", "a/../b", ".", "a/.", "../a" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(!spec_is_relative_path(bad[i]));
}

int main(void)
{
	whole();
	refused();
	relative_paths();
	return 0;
}
