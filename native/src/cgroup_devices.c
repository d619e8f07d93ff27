#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "cgroup.h"
#include "io.h"

static int number(const char **at, int64_t *out)
{
	if (**at == '*') {
		*out = -1;
		(*at)++;
		return 0;
	}
	char *end;
	if (**at < '0' || **at > '9')
		return -1;
	*out = strtoll(*at, &end, 10);
	*at = end;
	return *out > UINT32_MAX ? -1 : 0;
}

int device_rule_parse(const char *text, struct device_rule *rule, struct err *err)
{
	*rule = (struct device_rule){ .type = text[0] };
	const char *at = text + 1;
	if (text[0] == '\0' || strchr("abc", text[0]) == NULL || *at++ != ' ' || number(&at, &rule->major) < 0 || *at++ != ':' ||
	    number(&at, &rule->minor) < 0 || *at++ != ' ' || *at == '\0')
		return err_set(err, 0, "invalid device cgroup rule \"%s\"", text);
	for (; *at != '\0'; at++) {
		if (*at == 'r')
			rule->r = true;
		else if (*at == 'w')
			rule->w = true;
		else if (*at == 'm')
			rule->m = true;
		else
			return err_set(err, 0, "invalid device cgroup rule \"%s\"", text);
	}
	return 0;
}

#define INSN(op, d, s, o, i) ((struct bpf_insn){ .code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })

int bpf_device_program(const struct device_rule *rules, size_t n, struct bpf_insn *out, size_t max)
{
	size_t k = 0;
	if (max < 8)
		return -1;
	/* struct bpf_cgroup_dev_ctx: u32 access_type = access << 16 | type, u32 major, u32 minor */
	out[k++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0); /* r2 = type */
	out[k++] = INSN(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
	out[k++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 3, 1, 0, 0); /* r3 = access */
	out[k++] = INSN(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
	out[k++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0); /* r4 = major */
	out[k++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0); /* r5 = minor */
	for (size_t i = 0; i < n; i++) {
		const struct device_rule *r = &rules[i];
		if (max - k < 16)
			return -1;
		size_t jumps[4], j = 0;
		int32_t access = (r->m ? BPF_DEVCG_ACC_MKNOD : 0) | (r->r ? BPF_DEVCG_ACC_READ : 0) | (r->w ? BPF_DEVCG_ACC_WRITE : 0);
		if (r->type != 'a') {
			jumps[j++] = k;
			out[k++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 0, r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
		}
		if (access != (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)) {
			out[k++] = INSN(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
			out[k++] = INSN(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, ~access & 7);
			jumps[j++] = k;
			out[k++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 1, 0, 0, 0); /* asks for more than the rule gives */
		}
		/* 32-bit compares: an immediate of JMP is sign-extended. */
		if (r->major >= 0) {
			jumps[j++] = k;
			out[k++] = INSN(BPF_JMP32 | BPF_JNE | BPF_K, 4, 0, 0, (int32_t)r->major);
		}
		if (r->minor >= 0) {
			jumps[j++] = k;
			out[k++] = INSN(BPF_JMP32 | BPF_JNE | BPF_K, 5, 0, 0, (int32_t)r->minor);
		}
		out[k++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
		out[k++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		while (j > 0) {
			j--;
			out[jumps[j]].off = (int16_t)(k - jumps[j] - 1);
		}
		if (r->type == 'a' && r->major < 0 && r->minor < 0 && access == 7)
			return (int)k; /* what follows cannot be reached, which the verifier refuses */
	}
	if (max - k < 2)
		return -1;
	out[k++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	out[k++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return (int)k;
}

static int bpf(int cmd, union bpf_attr *attr) { return (int)syscall(SYS_bpf, cmd, attr, sizeof *attr); }

int bpf_device_attach(int cgroup_fd, const struct strs *rules, struct err *err)
{
	enum { MAX = 4096 };
	__attribute__((cleanup(arena_free))) struct arena arena = { 0 };
	struct device_rule *parsed = arena_alloc(&arena, rules->n + 1, sizeof *parsed);
	struct bpf_insn *program = arena_alloc(&arena, MAX, sizeof *program);
	if (parsed == NULL || program == NULL)
		return err_set(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < rules->n; i++)
		if (device_rule_parse(rules->v[i], &parsed[i], err) < 0)
			return -1;
	int n = bpf_device_program(parsed, rules->n, program, MAX);
	if (n < 0)
		return err_set(err, E2BIG, "too many device cgroup rules");
	union bpf_attr attr;
	memset(&attr, 0, sizeof attr);
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insn_cnt = (uint32_t)n;
	attr.insns = (uint64_t)(uintptr_t)program;
	attr.license = (uint64_t)(uintptr_t) "GPL";
	autoclose fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0)
		return err_set(err, errno, "load the device cgroup program: %s", strerror(errno));
	memset(&attr, 0, sizeof attr);
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (bpf(BPF_PROG_ATTACH, &attr) < 0)
		return err_set(err, errno, "attach the device cgroup program: %s", strerror(errno));
	return 0;
}
